"""Many images and videos into one folder of tables: `analyze_many`.

`inputs` lists the work, an engine (`local`, `cluster`) distributes it to workers (`worker`), `output` stores the
results in blocks, and `run` connects them.
"""
