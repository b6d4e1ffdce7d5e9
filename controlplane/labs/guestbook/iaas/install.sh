#!/bin/sh
# Makes a guestbook server of a fresh Debian machine. Run it as root, beside app.py and guestbook.py.
# All of this is the customer's work on IaaS: packages, database, role, user, service.
# Exit status: 0 the guestbook runs; 3 the packages cannot be had; else something failed.
set -eu

export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
here=$(cd "$(dirname "$0")" && pwd)

step() { echo "install: $*"; }

step "Python and PostgreSQL from packages"
no_packages() {
	echo "install: the packages cannot be had: does this machine reach a Debian mirror?" >&2
	exit 3
}
apt-get update -q -o Acquire::Retries=2 -o Acquire::http::Timeout=10 -o APT::Update::Error-Mode=any || no_packages
apt-get install -q -y --no-install-recommends -o Dpkg::Options::=--force-unsafe-io \
	python3 python3-psycopg2 postgresql || no_packages

step "the database server"
service postgresql start
tries=0
until runuser -u postgres -- psql -qAtc 'SELECT 1' >/dev/null 2>&1; do
	tries=$((tries + 1))
	[ "$tries" -lt 100 ] || { echo "install: cannot reach PostgreSQL: see /var/log/postgresql" >&2; exit 1; }
	sleep 0.1
done

step "a user, its role and its database"
id guestbook >/dev/null 2>&1 || useradd --system --home-dir /opt/guestbook --shell /usr/sbin/nologin guestbook
cd /
runuser -u postgres -- psql -qAt -v ON_ERROR_STOP=1 <<'SQL'
SELECT 'CREATE ROLE guestbook LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'guestbook') \gexec
SELECT 'CREATE DATABASE guestbook OWNER guestbook' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'guestbook') \gexec
SQL

step "the app as a service, started at each boot"
mkdir -p /opt/guestbook
cp "$here/app.py" "$here/guestbook.py" /opt/guestbook/
cat >/etc/init.d/guestbook <<'SERVICE'
#!/bin/sh
### BEGIN INIT INFO
# Provides:          guestbook
# Required-Start:    $network postgresql
# Required-Stop:     $network
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: the guestbook on port 8000
### END INIT INFO
pidfile=/run/guestbook.pid
case "$1" in
start)
	start-stop-daemon --start --oknodo --quiet --background --make-pidfile --pidfile $pidfile --chuid guestbook \
		--chdir /opt/guestbook --output /var/log/guestbook.log --exec /usr/bin/python3 -- /opt/guestbook/app.py
	;;
stop) start-stop-daemon --stop --oknodo --quiet --retry 5 --remove-pidfile --pidfile $pidfile ;;
restart) "$0" stop && "$0" start ;;
status) start-stop-daemon --status --pidfile $pidfile ;;
*) echo "use: $0 start|stop|restart|status" >&2; exit 2 ;;
esac
SERVICE
chmod 0755 /etc/init.d/guestbook
update-rc.d guestbook defaults >/dev/null
service guestbook restart
step "done: the guestbook listens on port 8000"
