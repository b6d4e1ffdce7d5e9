#!/bin/sh
# Plays a database on port 5432.
mkdir -p /srv
echo "42 entries" > /srv/index.html
httpd -p 5432 -h /srv
