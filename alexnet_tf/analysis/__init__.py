"""What a finished or running run has to show: predictions, statistics of errors, plots, reports.

Reads work folders and datasets; needs no training. Figures are matplotlib's, without pyplot: no
display, no state that outlives a call (`plots` has the common style).
"""
