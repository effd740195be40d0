"""DiffuseGAE on Ray: change one attribute of a picture and leave the rest alone."""
