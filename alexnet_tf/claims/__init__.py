"""The claims ledger: each claim of the paper as arms that are recipes, a measure and a rule.

Arms are trained by ordinary runs of `alexnet_tf.train`; verdicts are computed from their rows.
"""
