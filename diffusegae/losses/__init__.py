"""What is minimised: L_simple of diffusion and L_dis of GROUPs, as functions of tensors."""
