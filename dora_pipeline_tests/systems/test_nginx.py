"""The dashboard and the intake behind Debian's nginx, by the configuration of docs/production.md as it stands there."""

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

import requests

from dora_pipeline.config import project_folder
from dora_pipeline_tests.browsers import running_chromium
from dora_pipeline_tests.certificates import Certificates, issued
from dora_pipeline_tests.command import call
from dora_pipeline_tests.dagster_servers import free_port
from dora_pipeline_tests.dashboards import running_dashboard
from dora_pipeline_tests.homes import TestHome
from dora_pipeline_tests.intake_servers import Client, intake_in_process
from dora_pipeline_tests.waiting import eventually

GUIDE = (project_folder() / "docs" / "production.md").read_text(encoding="utf-8")
NAMES = ("figures.example.com", "dora.example.com")
SIGN_IN = ("somebody", "a password of the tests")
# A slash, and one that is written as a percent code: a proxy that decodes paths loses the event.
EVENT = "second/%2F?#"


class Site:
    """What nginx serves under one of its names."""

    def __init__(self, port: int, name: str, authority: Path) -> None:
        self.address = f"https://127.0.0.1:{port}"
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = str(authority)
        self._session.headers["Host"] = name

    def get(self, path: str, auth: tuple[str, str] | None = None) -> requests.Response:
        """The answer to a GET, with or without sign-in."""
        return self._session.get(self.address + path, auth=auth)

    def close(self) -> None:
        """Let its connections go."""
        self._session.close()


def _servers(home: TestHome, folder: Path, files: Certificates, ports: Mapping[int, int], watcher: str) -> str:
    """The servers that the guide shows, with the files and ports of the test in place of those of a machine."""
    found = re.findall(r"```(?:nginx)?\n(server \{\n.*?\n\}\n)```", GUIDE, re.DOTALL)
    servers = sorted(found, key=lambda server: NAMES.index(re.findall(r"server_name (\S+);", server)[0]))
    assert len(servers) == len(NAMES)
    text = "".join(servers)
    for port, own in ports.items():
        text = re.sub(rf"\b(listen |127\.0\.0\.1:){port}\b", rf"\g<1>{own}", text)
    for setting, path in (("ssl_certificate", files.certificate), ("ssl_certificate_key", files.key)):
        text = re.sub(rf"\b{setting} +/\S+;", f"{setting} {path};", text)
    text = text.replace("/etc/nginx/dora.htpasswd", str(folder / "htpasswd"))
    return text.replace("/var/lib/dora", str(home.home.path)).replace("allow 10.0.0.7;", f"allow {watcher};")


@contextmanager
def _running_nginx(folder: Path, servers: str) -> Iterator[None]:
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin")
    assert nginx, "nginx is needed: apt-get install nginx"
    (folder / "htpasswd").write_text(f"{SIGN_IN[0]}:{{PLAIN}}{SIGN_IN[1]}\n")
    # As Debian's nginx.conf has it.
    types = "include /etc/nginx/mime.types; default_type application/octet-stream;"
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = " ".join(f"{kind}_temp_path {folder / kind};" for kind in kinds)
    configuration = folder / "nginx.conf"
    configuration.write_text(
        f"daemon off; master_process off; pid {folder}/pid; events {{}}\n"
        f"http {{ access_log off; {types} {temporary}\n{servers} }}\n"
    )
    log = folder / "error.log"
    with subprocess.Popen([nginx, "-p", str(folder), "-c", str(configuration), "-e", str(log)]) as process:
        try:
            eventually((folder / "pid").exists, f"nginx: {log}", pause=0.05)
            yield
        finally:
            process.terminate()
            process.wait()
    (folder / "pid").unlink(missing_ok=True)


def test_the_dashboard_and_the_intake_are_reached_through_the_nginx_of_the_guide(tmp_path: Path) -> None:
    home = TestHome(tmp_path / "home")
    home.select_events()
    home.deploy("shop", "2024-05-06 10:00:00", id=EVENT, team="sales")
    home.deploy("till", "2024-05-07 10:00:00", team="ops")
    home.run()
    call(home.home.path, "report")
    files = issued(tmp_path / "certificates", "127.0.0.1", *NAMES)
    port = free_port()
    with running_dashboard(home.home) as dashboard, intake_in_process(home.home) as (intake, _):
        inside = urlsplit(dashboard.address).port or 0
        # The dashboard stands for Dagster's page too.
        ports = {443: port, 8090: inside, 3000: inside, 8080: urlsplit(intake).port or 0}
        figures, others = (Site(port, name, files.authority) for name in NAMES)
        with _running_nginx(tmp_path, _servers(home, tmp_path, files, ports, "10.0.0.7")):
            for site in (figures, others):
                assert site.get("/").status_code == 401
                assert site.get("/", auth=SIGN_IN).status_code == 200
            assert figures.get("/", auth=(SIGN_IN[0], "wrong")).status_code == 401
            shown = figures.get(f"/deployments/{quote(EVENT, safe='')}", auth=SIGN_IN)
            assert (shown.status_code, "sales" in shown.text) == (200, True)
            report = figures.get("/report", auth=SIGN_IN)
            assert (report.status_code, report.headers["Content-Type"]) == (200, "text/html")
            assert figures.get("/report").status_code == 401
            assert figures.get("/metrics").status_code == 403
            client = Client(others.address, authority=files.authority)
            sent = client("POST", "/api/v2/dora/deployments", {}, Host=NAMES[1])
            assert sent.status_code == 400, sent.text
            assert Client(others.address, None, None, files.authority)(
                "POST", "/api/v2/dora/deployment", {}, Host=NAMES[1]
            ).json() == {"errors": ["Forbidden: DD-API-KEY is missing"]}
            signed_in = {"username": SIGN_IN[0], "password": SIGN_IN[1]}
            with running_chromium(
                tmp_path / "chromium", 1280, 900, http_credentials=signed_in, ignore_https_errors=True
            ) as context:
                page = context.new_page()
                page.goto(f"{figures.address}/")
                page.get_by_label("Team", exact=True).select_option("sales")
                page.get_by_role("button", name="Show").click()
                assert page.url == f"{figures.address}/?env=prod&team=sales"
        with _running_nginx(tmp_path, _servers(home, tmp_path, files, ports, "127.0.0.1")):
            watched = figures.get("/metrics")
            assert (watched.status_code, "dora_deployments{" in watched.text) == (200, True)
