package controlplane

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"nuage/api"
)

// seriesOf is a collector of one world's databases.
type seriesOf struct {
	databaseSeries
	w *world
}

func (s seriesOf) Describe(out chan<- *prometheus.Desc) {
	for _, d := range s.all() {
		out <- d
	}
}

func (s seriesOf) Collect(out chan<- prometheus.Metric) { s.collect(s.w, out) }

func TestSeriesOfDatabases(t *testing.T) {
	at := time.Unix(1000, 0)
	later := at.Add(time.Hour)
	w := &world{databases: []api.Database{
		{Meta: api.Meta{ID: "db-1", Name: "a", Project: "p"}, Status: api.DatabaseStatus{Status: api.Status{Phase: api.Running}, SizeBytes: 7, Connections: 2, MaxConnections: 100}},
		{Meta: api.Meta{ID: "db-2", Name: "b", Project: "p"}, Status: api.DatabaseStatus{Status: api.Status{Phase: api.Pending}, SizeBytes: 8, Connections: 3}},
	}, backups: []api.Backup{
		{Status: api.BackupStatus{DatabaseID: "db-1", Verified: true, TakenAt: &later}}, {Status: api.BackupStatus{DatabaseID: "db-1", Verified: true, TakenAt: &at}},
		{Status: api.BackupStatus{DatabaseID: "db-2", TakenAt: &at}},
	}}
	want := `
# HELP nuage_database_connections Clients connected, without the platform's own.
# TYPE nuage_database_connections gauge
nuage_database_connections{database="a",project="p"} 2
# HELP nuage_database_connections_max Clients that the server lets in.
# TYPE nuage_database_connections_max gauge
nuage_database_connections_max{database="a",project="p"} 100
# HELP nuage_database_last_backup_timestamp_seconds Moment that the newest verified backup holds.
# TYPE nuage_database_last_backup_timestamp_seconds gauge
nuage_database_last_backup_timestamp_seconds{database="a",project="p"} 4600
# HELP nuage_database_size_bytes Size of the data, as the server says.
# TYPE nuage_database_size_bytes gauge
nuage_database_size_bytes{database="a",project="p"} 7
nuage_database_size_bytes{database="b",project="p"} 8
# HELP nuage_database_up 1 while the server accepts connections and answers.
# TYPE nuage_database_up gauge
nuage_database_up{database="a",project="p"} 1
nuage_database_up{database="b",project="p"} 0
`
	if err := testutil.CollectAndCompare(seriesOf{newDatabaseSeries(), w}, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}
