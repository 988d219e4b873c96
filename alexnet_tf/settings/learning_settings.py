"""Settings of the update rule and of its learning rate."""

from __future__ import annotations

from alexnet_tf.settings.setting import Form, Setting, diary_entries, epochs

OPTIMIZER = (
    Setting(
        "optimizer.name",
        "The update rule. Decay and rate multipliers of each layer are the network's. A run with "
        "another rule than the paper's says at its start by how much it differs.",
        choices={
            "sgd": "the paper's (section 5): v = momentum v - rate (gradient + decay w); w = w + v",
            "lars": "each kernel's own rate is trust |w| / (|gradient| + decay |w|), for large "
            "batches; needs other rates (You et al. 2017, arXiv:1708.03888)",
            "sgd_decoupled": "decay outside the velocity, as Keras' `weight_decay`: at momentum "
            "0.9 a tenth of the paper's",
            "sgdw": "decay not multiplied by the rate, so that it does not fall with it; "
            "tensorflow-addons only",
        },
    ),
    Setting("optimizer.momentum", "Share of the velocity that an update keeps.", least=0, below=1),
    Setting(
        "optimizer.clip_global_norm",
        "Upper limit of the l2 norm of all gradients together, summed over the replicas.",
        least=0,
        zero="none",
    ),
    Setting("optimizer.trust_coefficient", "`lars`: its trust.", above=0),
    Setting(
        "optimizer.averaging",
        "Which weights are evaluated and kept in `best/`. Averages need tensorflow-addons and one "
        "device; the paper's numbers are of the last weights.",
        choices={
            "none": "the last w",
            "moving_average": "a <- decay a + (1 - decay) w of every update",
            "swa": "the mean of w after every so many updates (Izmailov et al. 2018)",
        },
    ),
    Setting("optimizer.averaging_decay", "`moving_average`: its decay.", least=0, below=1),
    Setting("optimizer.averaging_first_step", "The update with which averaging begins.", least=0),
    Setting("optimizer.averaging_every_steps", "`swa`: updates between two of its parts.", least=1),
)

LEARNING_RATE = (
    Setting("learning_rate.initial", "The rate that the schedule begins with.", above=0),
    Setting(
        "learning_rate.scaling",
        "How `initial` grows with the batch.",
        choices={
            "none": "not at all",
            "linear": "times batch_size / reference_batch_size (Goyal et al. 2017, "
            "arXiv:1706.02677)",
            "square_root": "times the root of that ratio (Krizhevsky 2014, arXiv:1404.5997)",
        },
    ),
    Setting(
        "learning_rate.reference_batch_size", "The batch that `initial` was meant for.", least=1
    ),
    Setting(
        "learning_rate.warmup_steps",
        "Updates over which the rate rises linearly to the schedule's.",
        least=0,
        zero="none",
    ),
    Setting(
        "learning_rate.warmup_epochs",
        "The same in epochs; only one of them may be given.",
        least=0,
        zero="none",
    ),
    Setting(
        "learning_rate.schedule",
        "How the rate changes.",
        choices={
            "plateau": "times `factor` when `monitor` has not improved for `patience_epochs`, at "
            "most `max_drops` times (section 5); Keras' `ReduceLROnPlateau`, with a state that "
            "survives a restart",
            "constant": "not at all",
            "steps": "times `factor` after each of `drop_epochs`",
            "diary": "by hand after given epochs, also for single layers and for the colour noise, "
            "as in 2012",
            "step_exponential": "down to initial / target_factor at the end of the run, in "
            "`stages` equal parts",
            "exponential": "likewise, smoothly",
            "polynomial": "down to `end`, as (1 - t)^power",
            "cosine": "down to `end`, along half a cosine",
        },
    ),
    Setting(
        "learning_rate.factor",
        "`plateau`, `steps`: what the rate is multiplied by.",
        above=0,
        below=1,
    ),
    Setting(
        "learning_rate.drop_epochs",
        "`steps`: epochs after which the rate drops.",
        form=Form("numbers of epochs, such as (30, 60)", epochs),
    ),
    Setting("learning_rate.patience_epochs", "`plateau`: epochs without improvement.", least=0),
    Setting("learning_rate.min_delta", "`plateau`: what counts as an improvement.", least=0),
    Setting("learning_rate.max_drops", "`plateau`: how often the rate drops at most.", least=0),
    Setting(
        "learning_rate.monitor",
        "`plateau`: what must improve: a mean that an epoch ends with.",
        choices={
            "val_top_1_error": "validation error",
            "val_top_5_error": "validation error among the five best guesses",
            "val_loss": "validation loss",
            "top_1_error": "training error",
            "top_5_error": "training error among the five best guesses",
            "loss": "training loss",
        },
    ),
    Setting(
        "learning_rate.target_factor",
        "`exponential`, `step_exponential`: the initial rate over the last one.",
        above=0,
    ),
    Setting("learning_rate.stages", "`step_exponential`: its parts.", least=1),
    Setting(
        "learning_rate.end",
        "`polynomial`, `cosine`: the rate at the end; at most the initial one.",
        least=0,
    ),
    Setting("learning_rate.power", "`polynomial`: its exponent.", above=0),
    Setting(
        "learning_rate.diary",
        '`diary`: what has which value from when so many epochs are done: `"rate"`, '
        '`"color_noise"` (its standard deviation), or the rate of the variables that a pattern '
        'such as `"conv1*/kernel*"` matches (0 freezes them).',
        form=Form("entries (epoch, what, value), such as (25, 'rate', 0.001)", diary_entries),
    ),
)
