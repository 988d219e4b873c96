"""What lies where, and of which class: folders, archives, ImageNet, label files."""
