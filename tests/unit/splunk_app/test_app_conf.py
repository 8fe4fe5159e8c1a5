"""The app's own settings."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer.wire.errors import ConfigurationError
from splunk_app.conf import AppSettings, parse

LOCAL = "[gateway]\nurl = https://gw:1\nparallel = 3\n"


def write(folder: Path, default: str = "", local: str | None = None) -> str:
    for name, text in (("default", default), ("local", local)):
        if text is not None:
            (folder / name).mkdir()
            (folder / name / "qscore.conf").write_text(text)
    return str(folder)


def test_local_overlays_default_setting_by_setting(tmp_path: Path) -> None:
    app = write(
        tmp_path, "[gateway]\nurl =\nparallel = 2\nrealm = a\n", "[gateway]\nurl = https://gw:1\nparallel = 3\n"
    )
    settings = AppSettings.read(app, "/opt/splunk")
    assert settings == AppSettings("https://gw:1", None, None, 3, "a", "gateway", "/opt/splunk/etc/auth/cacert.pem")


def test_paths_start_at_the_app_or_at_splunk(tmp_path: Path) -> None:
    app = write(
        tmp_path, "[gateway]\nurl = https://gw\nca_file = local/ca.pem\n[splunkd]\nca_file = $SPLUNK_HOME/x.pem\n"
    )
    settings = AppSettings.read(app, "/opt/splunk")
    assert settings.ca_file == f"{app}/local/ca.pem"
    assert settings.splunkd_ca == "/opt/splunk/x.pem"


def test_without_splunk_home_the_apps_place_tells_it(tmp_path: Path) -> None:
    folder = tmp_path / "etc" / "apps" / "qscore"
    folder.mkdir(parents=True)
    settings = AppSettings.read(write(folder, "[gateway]\nurl = https://gw\n"), None)
    assert settings.splunkd_ca == str(tmp_path / "etc" / "auth" / "cacert.pem")


def test_what_ships_is_not_set_up(repository: Path) -> None:
    with pytest.raises(ConfigurationError, match="no gateway is set"):
        AppSettings.read(str(repository), None)


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "qscore.conf").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match=r"qscore\.conf cannot be read"):
        AppSettings.read(str(tmp_path), None)


@pytest.mark.parametrize("parallel", ["0", "9", "-1", "two", "1.5", "²"])
def test_parallel_is_a_small_number(tmp_path: Path, parallel: str) -> None:
    app = write(tmp_path, f"[gateway]\nurl = https://gw\nparallel = {parallel}\n")
    with pytest.raises(ConfigurationError, match="is not a number from 1 to 8"):
        AppSettings.read(app, None)


def test_conf_syntax() -> None:
    text = "\ufeffx = 0\n# c = 1\n; d = 2\n[one]\na = b = c \nlong = 1 \\\n  2\nnonsense\n[ two ]\n[one]\na = z\n"
    assert parse(text.lstrip("\ufeff")) == {"default": {"x": "0"}, "one": {"a": "z", "long": "1    2"}, "two": {}}


@given(st.text(max_size=100))
def test_any_text_parses(text: str) -> None:
    assert "default" in parse(text)
