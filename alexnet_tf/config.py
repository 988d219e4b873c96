"""The former name of `alexnet_tf.recipes`: recipe files that import it go on working."""

from alexnet_tf.recipes import (
    ConfigDict,
    Difference,
    completed,
    define_checkpoint_flag,
    define_flags,
    differences,
    from_dict,
    from_flags,
    load,
    recipe_folder,
    recipe_names,
    resolve,
    set_from_text,
    to_dict,
)

__all__ = [
    "ConfigDict",
    "Difference",
    "completed",
    "define_checkpoint_flag",
    "define_flags",
    "differences",
    "from_dict",
    "from_flags",
    "load",
    "recipe_folder",
    "recipe_names",
    "resolve",
    "set_from_text",
    "to_dict",
]
