"""Training of KGML-ag-Carbon in five stages, by a loop that resumes after it was killed.

Public modules: county_stage, course, recurrence, scores, stages, tower_stage.
Inner modules: pretraining, stage_record, trainer.
May import: checkpoint, data, evaluation, features, inference, losses, network, recipe.
"""
