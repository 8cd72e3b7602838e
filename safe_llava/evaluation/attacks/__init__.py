"""What makes a model that assesses images answer them all the same, a file for each kind of attack."""
