"""Trainers that nnU-Net finds by `nnUNet_extTrainer`: its own trainer, with more of it to choose.

nnU-Net imports each file of this folder by itself and takes the class by its name. Nothing here knows the rest of the
package, so that plain nnU-Net trains and predicts with them, too, where the package is installed without anything that
it depends on.
"""
