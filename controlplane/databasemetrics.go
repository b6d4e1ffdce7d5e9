package controlplane

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"nuage/api"
)

// databaseSeries are the series of databases, of what the newest probe found and of the newest verified backup.
type databaseSeries struct {
	up, size, connections, most, backup *prometheus.Desc
}

func newDatabaseSeries() databaseSeries {
	series := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("nuage_database_"+name, help, []string{"project", "database"}, nil)
	}
	return databaseSeries{
		up:          series("up", "1 while the server accepts connections and answers."),
		size:        series("size_bytes", "Size of the data, as the server says."),
		connections: series("connections", "Clients connected, without the platform's own."),
		most:        series("connections_max", "Clients that the server lets in."),
		backup:      series("last_backup_timestamp_seconds", "Moment that the newest verified backup holds."),
	}
}

func (s databaseSeries) all() []*prometheus.Desc {
	return []*prometheus.Desc{s.up, s.size, s.connections, s.most, s.backup}
}

// collect shows what is stored of databases; one that does not answer has no connections to tell of.
func (s databaseSeries) collect(w *world, out chan<- prometheus.Metric) {
	newest := w.newestBackups()
	for _, d := range w.databases {
		show := func(desc *prometheus.Desc, value float64) {
			out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, d.Project, d.Name)
		}
		up := d.Status.Phase == api.Running || d.Status.Phase == api.Updating
		show(s.up, map[bool]float64{true: 1}[up])
		show(s.size, float64(d.Status.SizeBytes))
		if up {
			show(s.connections, float64(d.Status.Connections))
			show(s.most, float64(d.Status.MaxConnections))
		}
		if at, ok := newest[d.ID]; ok {
			show(s.backup, float64(at.Unix()))
		}
	}
}

// newestBackups says which moment the newest verified backup of each database holds.
func (w *world) newestBackups() map[string]time.Time {
	newest := map[string]time.Time{}
	for _, b := range w.backups {
		if id := b.Status.DatabaseID; b.Status.Verified && b.Status.TakenAt.After(newest[id]) {
			newest[id] = *b.Status.TakenAt
		}
	}
	return newest
}
