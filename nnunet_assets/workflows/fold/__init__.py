"""What is done with a fold: trained, trained again, adopted, tracked."""
