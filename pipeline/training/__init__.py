"""Files that a training reads and writes, and the commands' view of its course.

Public modules: course, files.
May import: errors, site, sources, years, model.
"""
