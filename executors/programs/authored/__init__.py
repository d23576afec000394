"""Programs that somebody wrote, also for the Runtime of 2021: how their code becomes a `main` that
runs. Used only in a child that is thrown away afterwards, since it changes what can be imported.
"""
