"""The one app of this process, made from its environment; agents, tables, views and commands attach to it."""

from creditstream.app import create_app
from creditstream.settings import load_settings

app = create_app(load_settings())
