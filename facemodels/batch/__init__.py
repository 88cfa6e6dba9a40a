"""Many images and videos into one folder of tables: `analyze_many`.

`inputs` says what there is to do, an engine (`local`, `cluster`) has it done by workers (`worker`), `output` keeps what
came of it, block by block, and `run` brings them together.
"""
