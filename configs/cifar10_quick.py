from alexnet_tf import config as recipes
def get_config():
    config = recipes.load("default")
    config.name = "cifar10_quick"
    config.network.name = "cifar_quick"
    config.learning_rate.initial = 0.001
    config.input.random_crop = False
    config.input.random_flip = False
    config.preprocess.color_noise = "none"
    return config
