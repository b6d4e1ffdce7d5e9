package controlplane

import (
	"strconv"
	"time"

	"nuage/api"
	"nuage/controlplane/billing"
	"nuage/storage"
)

// machine is what the control plane alone knows of an instance.
type machine struct {
	ID          string `json:"id"`
	Project     string `json:"project"`
	Network     string `json:"network,omitempty"`  // id of its network; "": the project's own
	Host        int    `json:"host"`               // number of the address within its network's range
	HostKey     []byte `json:"hostKey"`            // sealed PEM
	HostKeyLine string `json:"hostKeyLine"`        // public half
	UserData    string `json:"userData"`           // none, pending, done, failed
	Exit        int    `json:"exit"`               // of user data
	Note        string `json:"note,omitempty"`     // what of user data failed, in words
	Boot        int64  `json:"boot"`               // reboots done
	Hostname    string `json:"hostname,omitempty"` // what its cloud-config calls it; "": its name

	From    string     `json:"from,omitempty"`    // id of the image of the project that it was made from; "": one of the catalog or a registry
	Image   string     `json:"image,omitempty"`   // what the engine makes it of now: its root disk as committed last; "": what the spec names
	Commits []string   `json:"commits,omitempty"` // tags of its root disk, written down before they are made; all but Image are to be removed
	Rebase  string     `json:"rebase,omitempty"`  // why its container went to come back from Image; "": it did not
	Group   string     `json:"group,omitempty"`   // id of the instance group it is a member of
	Made    string     `json:"made,omitempty"`    // hash of the group's template it was made from
	Leaving *time.Time `json:"leaving,omitempty"` // since when its group takes it away: it gets nothing new from load balancers, then it is deleted
	Reclaim *time.Time `json:"reclaim,omitempty"` // when a spot instance is taken back, in real time
	OOM     *time.Time `json:"oom,omitempty"`     // when the kernel killed processes last for want of memory
}

// server is what the control plane alone knows of a database.
type server struct {
	ID       string `json:"id"`
	Project  string `json:"project"`
	Host     int    `json:"host"`
	Volume   string `json:"volume"`
	User     string `json:"user"`
	Password []byte `json:"password"`         // sealed
	From     string `json:"from,omitempty"`   // id of the backup it begins with
	Filled   bool   `json:"filled,omitempty"` // it holds what that backup holds, never to be filled again

	Source string    `json:"source,omitempty"` // id of the database whose archived log it begins with
	Moment time.Time `json:"moment,omitzero"`  // up to which

	Logins []access `json:"logins,omitempty"` // of clients, oldest first; none: User and Password, which the server is made with for good
}

// dump is what the control plane alone knows of a backup.
type dump struct {
	ID       string   `json:"id"`
	Project  string   `json:"project"`
	Contents []string `json:"contents,omitempty"` // rows by table, of the moment it was taken
	Failed   string   `json:"failed,omitempty"`   // why it is given up
}

// disk is what the control plane alone knows of a volume, a snapshot or an image: whether the engine has it in full.
type disk struct {
	ID       string `json:"id"`
	Project  string `json:"project"`
	From     string `json:"from,omitempty"`     // id of the disk, or the instance, it is a copy of
	Ready    bool   `json:"ready,omitempty"`    // made and filled, never to be filled again
	Enforced bool   `json:"enforced,omitempty"` // the engine holds it to its size
	Bytes    int64  `json:"bytes,omitempty"`    // of a snapshot: what it takes
}

// release is a stored release of an app.
type release struct {
	App string `json:"app"` // id
	api.Release
	Generation int64     `json:"generation"`         // of the app when the release was made
	Tag        string    `json:"tag,omitempty"`      // of an image that we built
	Since      time.Time `json:"since"`              // when its image was there: the deadline counts from it
	Served     bool      `json:"served,omitempty"`   // requests went to it once
	Command    string    `json:"command,omitempty"`  // to run once before it gets requests; "": none
	Prepared   bool      `json:"prepared,omitempty"` // it ran
	Canary     int       `json:"canary,omitempty"`   // percent of the requests that it gets when it serves; 0: all
	Login      int       `json:"login,omitempty"`    // number of the login of its database that it has
	Patch      *patch    `json:"patch,omitempty"`    // its image is made from another one by the platform's patch
}

// held tells that its image was built for an app of another project, and has a tag here that keeps it.
func (r release) held() bool { return r.Promoted != "" && r.Tag != "" }

func releaseKey(app string, number int) string { return app + "/" + pad(number) }

// pad keeps the order of numbers as text.
func pad(n int) string {
	s := strconv.Itoa(n)
	const zeros = "0000000000"
	if len(s) >= len(zeros) {
		return s
	}
	return zeros[len(s):] + s
}

// drain remembers that an app's earlier release still ends its requests.
type drain struct {
	App     string    `json:"app"`
	Release int       `json:"release"`
	Since   time.Time `json:"since"`
}

// track is what is durable about one workload: that it was made, and how often it was brought back.
type track struct {
	ID       string `json:"id"`
	Owner    string `json:"owner"`
	Restarts int    `json:"restarts"`
	Quick    int    `json:"quick"`            // restarts in a row
	Reason   string `json:"reason,omitempty"` // why it was brought back last
	Halted   bool   `json:"halted,omitempty"` // we stopped it: its next start is no repair
}

// run is metering of something that runs now. It becomes a usage record when it ends.
type run struct {
	Key        string            `json:"key"` // workload or volume
	Run        string            `json:"run"`
	Project    string            `json:"project"`
	Service    string            `json:"service"`
	Resource   string            `json:"resource"`
	ResourceID string            `json:"resourceId"`
	Meter      string            `json:"meter"`
	Bytes      int64             `json:"bytes,omitempty"` // of storage; 0: time alone is metered
	Start      time.Time         `json:"start"`
	Real       time.Time         `json:"real"` // start in real time, which tells one run from the next
	Seen       time.Time         `json:"seen"` // real time it was seen last; the end where nothing better is known
	Tags       map[string]string `json:"tags,omitempty"`
}

// tokenRecord is a token with the hash of its secret.
type tokenRecord struct {
	api.Token
	Hash      string `json:"hash"`
	ProjectID string `json:"projectId,omitempty"` // of the only project it may act on
}

// replay remembers what a create with an idempotency key made.
type replay struct {
	Key  string    `json:"key"`
	Hash string    `json:"hash"`
	ID   string    `json:"id"`
	At   time.Time `json:"at"`
}

// measured is a stored measurement.
type measured struct {
	Project string `json:"project"`
	api.Measurement
}

func (m measured) key() string { return m.Project + "/" + m.Subject + "/" + m.Name }

// setting is a small value of the cloud.
type setting struct {
	Key   string `json:"key"`
	Value []byte `json:"value"`
}

// The tables and logs. They hold no state; the store does.
var (
	projectTable  = nounTable[api.Project]("projects", func(p *api.Project) string { return p.Name })
	tokenTable    = storage.NewTable("tokens", func(t *tokenRecord) string { return t.ID }, storage.Unique("name", func(t *tokenRecord) string { return t.Name }), storage.Unique("hash", func(t *tokenRecord) string { return t.Hash }))
	userTable     = nounTable[api.User]("users", func(u *api.User) string { return u.Name })
	keyTable      = nounTable[api.Key]("keys", nil)
	networkTable  = nounTable[api.Network]("networks", nil)
	imageTable    = nounTable[api.Image]("images", nil)
	volumeTable   = nounTable[api.Volume]("volumes", nil)
	snapshotTable = nounTable[api.Snapshot]("snapshots", nil)
	balancerTable = nounTable[api.LoadBalancer]("load-balancers", nil)
	fleetTable    = nounTable[api.InstanceGroup]("instance-groups", nil)
	groupTable    = nounTable[api.SecurityGroup]("security-groups", nil)
	instanceTable = nounTable[api.Instance]("instances", nil)
	appTable      = nounTable[api.App]("apps", nil)
	databaseTable = nounTable[api.Database]("databases", nil)
	backupTable   = nounTable[api.Backup]("backups", nil)
	poolTable     = nounTable[api.AuthPool]("auth-pools", nil)
	functionTable = nounTable[api.Function]("functions", nil)
	triggerTable  = nounTable[api.Trigger]("triggers", nil)
	queueTable    = nounTable[api.Queue]("queues", nil)
	topicTable    = nounTable[api.Topic]("topics", nil)
	budgetTable   = nounTable[api.Budget]("budgets", nil)

	machineTable    = storage.NewTable("machines", func(m *machine) string { return m.ID })
	diskTable       = storage.NewTable("disks", func(d *disk) string { return d.ID })
	archiveTable    = storage.NewTable("archives", func(a *archive) string { return a.ID })
	dumpTable       = storage.NewTable("dumps", func(d *dump) string { return d.ID })
	cursorTable     = storage.NewTable("cursors", func(c *cursor) string { return c.ID })
	serverTable     = storage.NewTable("servers", func(s *server) string { return s.ID })
	releaseTable    = storage.NewTable("releases", func(r *release) string { return releaseKey(r.App, r.Number) })
	vaultTable      = storage.NewTable("vaults", func(v *vault) string { return vaultKey(v.App, v.Version) })
	comebackTable   = storage.NewTable("splits", func(c *comeback) string { return c.App })
	appNetworkTable = storage.NewTable("app-networks", func(n *appNetwork) string { return n.App })
	drainTable      = storage.NewTable("drains", func(d *drain) string { return releaseKey(d.App, d.Release) })
	trackTable      = storage.NewTable("tracks", func(t *track) string { return t.ID })
	runTable        = storage.NewTable("runs", func(r *run) string { return r.Key })
	replayTable     = storage.NewTable("replays", func(r *replay) string { return r.Key })
	measureTable    = storage.NewTable("measurements", func(m *measured) string { return m.key() })
	labRunTable     = storage.NewTable("lab-runs", func(r *labRun) string { return r.Key })
	findingTable    = storage.NewTable("findings", func(f *finding) string { return f.key() })
	settingTable    = storage.NewTable("settings", func(s *setting) string { return s.Key })

	functionVersionTable = storage.NewTable("function-versions", func(v *functionVersion) string { return functionVersionKey(v.Function, v.Version) })
	functionAliasTable   = storage.NewTable("function-aliases", func(a *functionAlias) string { return functionAliasKey(a.Function, a.Name) })

	messageTable    = storage.NewTable("messages", func(m *message) string { return m.key() }, storage.Many("visible", func(m *message) string { return m.Queue + "/" + storage.TimeKey(m.VisibleAt) }))
	queueStateTable = storage.NewTable("queue-states", func(s *queueState) string { return s.ID })
	asyncTable      = storage.NewTable("async-events", func(e *asyncEvent) string { return e.ID }, storage.Many("due", func(e *asyncEvent) string { return e.due() }))
	asyncStateTable = storage.NewTable("async-states", func(s *asyncState) string { return s.ID })
	tickTable       = storage.NewTable("ticks", func(t *tick) string { return t.ID })
	invoiceTable    = storage.NewTable("invoices", func(v *billing.Invoice) string { return v.Period })
	requestTable    = storage.NewTable("requests", func(r *requestCount) string { return r.key() })

	usageLog    = storage.NewLog[api.Usage]("usage")
	activityLog = storage.NewLog[api.Activity]("activities")
	receiptLog  = storage.NewLog("receipts", storage.Many("function", func(r *receipt) string { return r.FunctionID }))
)

// nounTable declares the table of a noun: by id, unique by project and name.
func nounTable[T any](name string, unique func(*T) string) *storage.Table[T] {
	if unique == nil {
		unique = func(t *T) string { m := head(t); return m.Project + "/" + m.Name }
	}
	return storage.NewTable(name, func(t *T) string { return head(t).ID }, storage.Unique("name", unique))
}

// head returns the Meta that every noun embeds.
func head[T any](t *T) *api.Meta { return any(t).(interface{ Head() *api.Meta }).Head() }
