package controlplane

import "testing"

// The tables are what a container with the network's own resolver (127.0.0.11) shows.
const resolver = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n" +
	"   0: 0B00007F:A8C7 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0\n"

func line4(address string) string {
	return "   1: " + address + " 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2 1 0 100 0 0 10 0\n"
}

func TestStrayText(t *testing.T) {
	const elsewhere = "its program listens on port 9099: deploy with --port 9099, or make it listen on $PORT"
	const inside = "its program listens on 127.0.0.1:8080, where only itself can connect: make it listen on 0.0.0.0"
	for _, c := range []struct{ table, want string }{
		{"", ""},
		{resolver, ""},
		{resolver + line4("00000000:238B"), elsewhere},
		{resolver + line4("0100007F:238B"), ""},
		{resolver + line4("0100007F:1F90"), inside},
		{resolver + line4("00000000:238B") + line4("0100007F:1F90"), inside},
		{resolver + line4("00000000:238B") + line4("00000000:1F90"), ""},
		{resolver + line4("00000000000000000000000000000000:238B"), elsewhere},
		{resolver + line4("00000000000000000000000001000000:1F90"), inside},
		{resolver + line4("0000000000000000FFFF00000100007F:1F90"), inside},
		{resolver + "   1: 00000000:238B 0200000A:1F90 01 0:0 0:0 0 0 0 2\n", ""},
		{"nonsense\n1: x:y z 0A\n", ""},
	} {
		if got := strayText(parseListeners(c.table), 8080); got != c.want {
			t.Errorf("%q says %q, want %q", c.table, got, c.want)
		}
	}
}
