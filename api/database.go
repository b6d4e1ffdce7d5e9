package api

import (
	"context"
	"strings"
	"time"
)

// Database is a managed server of a project.
type Database struct {
	Meta
	Spec   DatabaseSpec   `json:"spec"`
	Status DatabaseStatus `json:"status"`
}

// DatabaseSpec is what a user asks of a database. Size, BackupSeconds and Keep can change.
type DatabaseSpec struct {
	Engine       string `json:"engine" enum:",postgres,mariadb,redis" doc:"which server; of one that begins with a backup, the backup's when empty"`
	Size         string `json:"size,omitempty" enum:",nano,micro,small,medium,large" doc:"micro when empty"`
	StorageBytes int64  `json:"storageBytes,omitempty" minimum:"0" doc:"1 GiB when 0; billed, not enforced where the engine cannot"`

	BackupSeconds int64    `json:"backupSeconds,omitempty" minimum:"0" doc:"how often it is backed up, in real time; 60 s to 31 days; 0: only when asked for"`
	Keep          int      `json:"keep,omitempty" minimum:"0" maximum:"100" doc:"how many verified scheduled backups stay; 7 when 0"`
	Restore       *Restore `json:"restore,omitempty" doc:"what it begins with; absent: nothing; cannot change"`
}

// Restore says what a new database begins with. Backup or Database must be given.
type Restore struct {
	Backup   string `json:"backup,omitempty" doc:"name of a backup that is verified; the cloud fills it in where Database is given"`
	Database string `json:"database,omitempty" doc:"name of the database whose newest verified backup it is; it may be deleted"`

	Time *time.Time `json:"time,omitempty" doc:"with Database: not a backup, but what it held then; it must be there, and the moment in its status.restorable, or later"`
}

// DatabaseStatus is how the database does.
type DatabaseStatus struct {
	Status
	Version      string `json:"version,omitempty"`
	Host         string `json:"host,omitempty" doc:"from the laptop"`
	Port         int    `json:"port,omitempty"`
	InternalHost string `json:"internalHost,omitempty" doc:"in the project's network"`
	InternalPort int    `json:"internalPort,omitempty"`
	SizeBytes    int64  `json:"sizeBytes" doc:"observed size of the data"`
	Restarts     int    `json:"restarts"`

	Connections    int `json:"connections" doc:"clients that are connected, without the platform's own"`
	MaxConnections int `json:"maxConnections" doc:"how many the server lets in"`

	Restorable *Window `json:"restorable,omitempty" doc:"moments that a new database can begin with, of PostgreSQL with scheduled backups; until is the newest archived one, and more is archived when asked for"`

	Rotation *Rotation `json:"rotation,omitempty" doc:"a change of credentials that is under way; absent: none is"`
}

// Window is a span of time.
type Window struct {
	From  time.Time `json:"from"`
	Until time.Time `json:"until"`
}

// Rotation is a change of credentials: the new ones are valid already, those before are until nothing uses them any more.
type Rotation struct {
	Since   time.Time `json:"since"`
	Waiting []string  `json:"waiting" doc:"what has not moved to the new credentials yet, and why"`
	Stuck   bool      `json:"stuck" doc:"one of these does not move by itself: somebody has to see to it"`
}

// DatabaseClient is the program that opens a shell of a database: the first word of a command for it. "" for an unknown engine.
func DatabaseClient(engine string) string {
	return map[string]string{"postgres": "psql", "mariadb": "mariadb", "redis": "redis-cli"}[engine]
}

// Credentials let a client into a database.
type Credentials struct {
	User        string `json:"user"`
	Password    string `json:"password"`
	URL         string `json:"url" doc:"from the laptop"`
	InternalURL string `json:"internalUrl" doc:"from apps, functions and instances of the project"`
}

// Databases are a project's databases. The deletion of one that has served takes a last backup first, and waits for it;
// who does not want it deletes that backup meanwhile.
type Databases interface {
	Resource[Database, DatabaseSpec]
	// Credentials. NotFound. Conflict: not running yet.
	Credentials(ctx context.Context, project, name string) (Credentials, error)
	// Rotate makes new credentials and returns them when they are valid. Those before are closed once every bound app and function
	// has moved to the new ones, by a release of its own: see Rotation. NotFound. Conflict: not running; a rotation is under way.
	// Unsupported: the engine has one login only. Unavailable: the server does not answer; the rotation goes on.
	Rotate(ctx context.Context, project, name string) (Credentials, error)
}

// Backup is what a database held at one moment. It outlives its database.
type Backup struct {
	Meta
	Spec   BackupSpec   `json:"spec"`
	Status BackupStatus `json:"status"`
}

// BackupSpec says of what.
type BackupSpec struct {
	Database string `json:"database" doc:"name of a running database in the project; it may be deleted afterwards"`
}

// BackupStatus is what the cloud says of a backup. Its phase is running when it is verified, and failed when it can't be restored.
type BackupStatus struct {
	Status
	DatabaseID string     `json:"databaseId" doc:"of the database it is of, which may be gone"`
	Engine     string     `json:"engine"`
	Trigger    string     `json:"trigger" enum:"manual,schedule,deletion" doc:"what it was made for"`
	TakenAt    *time.Time `json:"takenAt,omitempty" doc:"the moment it holds; absent until it is stored"`
	SizeBytes  int64      `json:"sizeBytes" doc:"what is stored, compressed; billed"`
	SHA256     string     `json:"sha256,omitempty" doc:"of what is stored"`
	Verified   bool       `json:"verified" doc:"restored into a server of its own, which held exactly what the database held"`
	Tables     int        `json:"tables"`
	Rows       int64      `json:"rows" doc:"of all tables"`
}

// What a backup was made for.
const (
	BackupManual   = "manual"
	BackupSchedule = "schedule"
	BackupDeletion = "deletion"
)

// Backups are a project's backups of databases. Update is Unsupported: a backup is what it was. One that is made is of the moment,
// consistent, and holds nobody up.
type Backups interface {
	Resource[Backup, BackupSpec]
}

// BackupName is the usual name of a backup made at a time: as much of the database's name as fits, and the time.
func BackupName(database string, at time.Time) string {
	const room = 24 // of the 40 characters of a name
	return strings.TrimRight(database[:min(len(database), room)], "-") + at.UTC().Format("-20060102-150405")
}
