"""How good the generated negatives are: measures by record, by modality and for the workspace."""
