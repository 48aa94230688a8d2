"""`apimetry import access-log`: import requests from the access logs of web servers."""
