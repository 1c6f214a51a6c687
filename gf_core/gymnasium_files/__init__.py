"""A third party's gymnasium environment, described by a JSON file instead of a plugin's code.

The file (a document of the kind ``gymnasium``) is given as ``--plugin FILE.json``: it registers one environment, whose settings
hold the document, so that a run records it whole. A distribution can bring the same::

    DOCUMENT = json.loads(resources.files(__package__).joinpath("pusht.json").read_text())

    @hookimpl
    def gf_register_envs(register):
        register(env_spec(DOCUMENT))

Reading it imports neither gymnasium nor the package; making the environment does.
"""

from gf_core.gymnasium_files.document import FilePlugin, complete, env_spec, make_env, read

__all__ = ["FilePlugin", "complete", "env_spec", "make_env", "read"]
