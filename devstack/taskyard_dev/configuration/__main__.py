"""`python -m taskyard_dev.configuration` writes docs/configuration.md of the checkout in the current directory."""

from pathlib import Path

from .page import page


def main() -> None:
    compose = Path("docker-compose.yml").read_text("utf-8")
    Path("docs/configuration.md").write_text(page(compose), "utf-8")


if __name__ == "__main__":
    main()
