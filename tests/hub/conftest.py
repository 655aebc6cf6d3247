import huggingface_hub
import pytest

from piperline.hub import push_pull as hub
from tests.hub.hub_server import WRITE, HubServer


@pytest.fixture
def server(monkeypatch, tmp_path):
    with HubServer() as server:
        constants = huggingface_hub.constants
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(
            constants, "HF_TOKEN_PATH", str(tmp_path / "no token")
        )
        monkeypatch.setenv("HF_TOKEN", WRITE)
        hub.show_progress(wanted=False)
        yield server
