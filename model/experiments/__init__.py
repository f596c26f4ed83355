"""The paper's experiments: ablation, sample size, extreme years, leave-out."""
