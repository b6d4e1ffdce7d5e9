package api

import (
	"context"
	"io"
	"time"
)

// Usage is one metered quantity over an interval of billing time. It is stored; money is computed from it.
type Usage struct {
	ID         string            `json:"id"`
	Project    string            `json:"project"`
	Service    string            `json:"service" doc:"instances, apps, databases, functions, ..."`
	Resource   string            `json:"resource" doc:"name"`
	ResourceID string            `json:"resourceId"`
	Meter      string            `json:"meter" doc:"as instance-hours:small"`
	Run        string            `json:"run,omitempty" doc:"id of the run; minimums apply per run"`
	Quantity   int64             `json:"quantity" doc:"in the meter's stored unit (ms, MB-ms, MiB-ms, requests)"`
	Start      time.Time         `json:"start"`
	End        time.Time         `json:"end" doc:"exclusive"`
	Open       bool              `json:"open,omitempty" doc:"still running; quantity is up to now"`
	Tags       map[string]string `json:"tags,omitempty"`
}

// UsageQuery filters usage. Zero fields do not filter; To is exclusive.
type UsageQuery struct {
	Project, Resource string
	From, To          time.Time
	Page
}

// BillQuery says which bill. Zero From and To mean the current period (calendar month UTC, billing time).
type BillQuery struct {
	Project  string // empty: all the actor may see
	By       string // "", service, resource, model, project, day, or tag:KEY
	Book     string // "": nuage
	From, To time.Time
}

// Bill is an invoice: Total is the sum of the lines' costs to the last digit.
type Bill struct {
	Currency    string     `json:"currency"`
	Book        string     `json:"book"`
	PeriodStart time.Time  `json:"periodStart"`
	PeriodEnd   time.Time  `json:"periodEnd" doc:"exclusive"`
	Total       string     `json:"total"`
	Lines       []BillLine `json:"lines"`
	Note        string     `json:"note,omitempty"`
	Invoice     string     `json:"invoice,omitempty" doc:"id of the invoice: the period is closed and the bill does not change any more; absent: it is live"`
}

// Invoice is a closed period: its bill under the book nuage stays as it was, to the last digit. What is heard of later is an adjustment
// in the period that is open then.
type Invoice struct {
	ID          string    `json:"id"`
	Period      string    `json:"period" doc:"calendar month, as 2026-11"`
	PeriodStart time.Time `json:"periodStart"`
	PeriodEnd   time.Time `json:"periodEnd" doc:"exclusive"`
	ClosedAt    time.Time `json:"closedAt" doc:"billing time"`
	Currency    string    `json:"currency"`
	Book        string    `json:"book"`
	Version     string    `json:"version" doc:"of the price book"`
	Total       string    `json:"total" doc:"of all that the asker may see"`
	Adjustments int       `json:"adjustments" doc:"lines that adjust earlier invoices"`
}

// Retention is how long receipts of calls are kept. Older ones are rolled up by hour and function, which changes no bill under the books
// of that time: what calls used is kept by the rule of each. A book with another rule that is added later cannot count them, and its bills
// say so.
type Retention struct {
	Days     int64      `json:"days" minimum:"0" maximum:"36500" doc:"of billing time; 0: for ever"`
	Receipts int64      `json:"receipts" doc:"that are kept"`
	RolledUp int64      `json:"rolledUp" doc:"calls whose receipts are gone"`
	Oldest   *time.Time `json:"oldest,omitempty" doc:"billing time of the oldest receipt"`
}

// BillLine is one charge: quantity x unit price, rounded once, half to even, at 6 decimals.
type BillLine struct {
	Project    string `json:"project"`
	Service    string `json:"service"`
	Model      string `json:"model" enum:"iaas,paas,faas,"`
	Resource   string `json:"resource"`
	ResourceID string `json:"resourceId"`
	Meter      string `json:"meter"`
	Quantity   string `json:"quantity" doc:"decimal, in unit"`
	Unit       string `json:"unit"`
	UnitPrice  string `json:"unitPrice" doc:"decimal USD"`
	Cost       string `json:"cost" doc:"decimal USD, 6 decimals"`
	Note       string `json:"note"`
	Day        string `json:"day,omitempty" doc:"YYYY-MM-DD with by=day"`
	Adjusts    string `json:"adjusts,omitempty" doc:"period of a closed invoice that the line adjusts, as 2026-10; quantity and cost are what it had too little, or too much when negative"`

	Tags map[string]string `json:"tags,omitempty" doc:"of the resource while it was used; with by=tag:KEY that one"`
}

// PriceBook is a dated list of prices.
type PriceBook struct {
	Name     string  `json:"name"`
	Version  string  `json:"version"`
	Date     string  `json:"date" doc:"YYYY-MM-DD"`
	Currency string  `json:"currency"`
	Source   string  `json:"source"`
	Prices   []Price `json:"prices"`
}

// Price is the price of one meter.
type Price struct {
	Meter     string      `json:"meter"`
	Service   string      `json:"service"`
	Model     string      `json:"model"`
	Unit      string      `json:"unit"`
	UnitPrice string      `json:"unitPrice"`
	Minimum   string      `json:"minimum,omitempty" doc:"per run, in unit or words"`
	Free      string      `json:"free,omitempty" doc:"what a project has for nothing"`
	Tiers     []PriceTier `json:"tiers,omitempty" doc:"prices of what is above a quantity"`
	Source    string      `json:"source"`
}

// PriceTier is the price of what a project uses above a quantity in a calendar month.
type PriceTier struct {
	Above     string `json:"above" doc:"units; what is free does not count"`
	UnitPrice string `json:"unitPrice"`
}

// Ledger answers what was used and what it costs.
type Ledger interface {
	// Usage answers what is open, then what has ended, then what calls used, each oldest first. A run that ends between two
	// pages may come twice, with one id. Invalid: bad page.
	Usage(ctx context.Context, q UsageQuery) (List[Usage], error)
	// Bill. That of a closed month under the book nuage is its invoice; any other is rated anew. Invalid: an unknown By or Book, To before From.
	Bill(ctx context.Context, q BillQuery) (Bill, error)
	// Prices. NotFound: no such book; "" is nuage.
	Prices(ctx context.Context, book string) (PriceBook, error)
	// Close closes a month, as 2026-11, under the book nuage and answers its bill; "" is the first that is open. A month closes by
	// itself when it ends. Invalid: no month. Conflict: closed already, not begun, or one before it is open. Forbidden to a token limited to
	// a project.
	Close(ctx context.Context, period string) (Bill, error)
	// Invoices answers what is closed, oldest first. Invalid: bad page.
	Invoices(ctx context.Context, page Page) (List[Invoice], error)
	// Retention answers how long receipts are kept, and what there is of them. Forbidden to a token limited to a project.
	Retention(ctx context.Context) (Retention, error)
	// SetRetention says how long receipts are kept; only Days counts. Invalid: under 0 or over 100 years. Forbidden to a token limited to a
	// project.
	SetRetention(ctx context.Context, r Retention) (Retention, error)
}

// Layer is where in the stack a piece of work was done.
type Layer string

// The layers, from what is always the customer's down to what never is.
const (
	LayerData            Layer = "data"
	LayerConfiguration   Layer = "configuration"
	LayerIdentities      Layer = "identities"
	LayerClientDevices   Layer = "client-devices"
	LayerApplication     Layer = "application"
	LayerScaling         Layer = "scaling"
	LayerRuntime         Layer = "runtime"
	LayerOperatingSystem Layer = "operating-system"
	LayerNetworkControls Layer = "network-controls"
	LayerVirtualization  Layer = "virtualization"
	LayerPhysical        Layer = "physical"
)

// Layers returns all layers, in the order of a comparison's rows.
func Layers() []Layer {
	return []Layer{LayerData, LayerConfiguration, LayerIdentities, LayerClientDevices, LayerApplication, LayerScaling,
		LayerRuntime, LayerOperatingSystem, LayerNetworkControls, LayerVirtualization, LayerPhysical}
}

// Activity is one recorded piece of work. Append-only.
type Activity struct {
	ID       string    `json:"id"`
	Time     time.Time `json:"time"`
	Actor    Actor     `json:"actor"`
	Layer    Layer     `json:"layer"`
	Project  string    `json:"project"`
	Noun     string    `json:"noun" doc:"kind of the resource: instance, app, ..."`
	Resource string    `json:"resource" doc:"name"`
	// ResourceID tells a resource from an earlier one of its name; older records have none.
	ResourceID string `json:"resourceId,omitempty"`
	Model      string `json:"model" enum:"iaas,paas,faas,"`
	Verb       string `json:"verb"`
	Detail     string `json:"detail"`
}

// ActivityQuery filters activities. Zero fields do not filter; Until is exclusive.
type ActivityQuery struct {
	Project, Resource string
	Noun, Verb, Model string
	Layer             Layer
	Actor             ActorKind
	By                string // name of the actor: a user, a token, a part of the platform
	Since, Until      time.Time
	Page
}

// Activities is the record of who did what.
type Activities interface {
	// List answers oldest first; Next continues it, also for following. Invalid: bad filter.
	List(ctx context.Context, q ActivityQuery) (List[Activity], error)
}

// Comparison lays recorded work beside the published responsibility matrix.
type Comparison struct {
	Project   string            `json:"project"`
	At        time.Time         `json:"at"`
	Subjects  []Subject         `json:"subjects"`
	Layers    []ComparisonLayer `json:"layers"`
	Measures  []Measure         `json:"measures"`
	Costs     []SubjectCost     `json:"costs"`
	BreakEven []BreakEven       `json:"breakEven"`
}

// SubjectCost is what a subject costs at the prices of the book nuage: PerHour x hours + PerRequest x requests.
type SubjectCost struct {
	Subject    string `json:"subject"`
	PerHour    string `json:"perHour" doc:"decimal USD: what runs and is kept now, if nobody asks anything of it"`
	PerRequest string `json:"perRequest,omitempty" doc:"decimal USD: the mean of its newest calls, free amounts aside; 0 where a request costs nothing more; absent where none was made"`
}

// BreakEven is where the costs of two subjects cross: with more requests an hour, Dearer costs more than Cheaper.
type BreakEven struct {
	Dearer          string `json:"dearer"`
	Cheaper         string `json:"cheaper"`
	RequestsPerHour int64  `json:"requestsPerHour"`
}

// Subject is one column.
type Subject struct {
	Name  string `json:"name"`
	Noun  string `json:"noun" doc:"instance, app or function; project: all that is in it"`
	Model string `json:"model" enum:"iaas,paas,faas," doc:"empty: a project"`
}

// ComparisonLayer is one row.
type ComparisonLayer struct {
	Layer Layer            `json:"layer"`
	Cells []ComparisonCell `json:"cells"`
}

// ComparisonCell is who did the work of a layer for a subject.
type ComparisonCell struct {
	Subject   string `json:"subject"`
	Recorded  string `json:"recorded" enum:"customer,shared,platform,none"`
	Published string `json:"published" enum:"customer,shared,platform," doc:"empty for a project, which is of no model"`
	Customer  int    `json:"customer" doc:"activities of the customer"`
	Platform  int    `json:"platform" doc:"activities of the platform"`
	Example   string `json:"example" doc:"the newest activity"`
	Differs   bool   `json:"differs" doc:"work is recorded that the published matrix does not expect, or a side of shared work has done nothing yet"`
	Why       string `json:"why,omitempty" doc:"what makes it differ, in words"`
	Odd       string `json:"odd,omitempty" doc:"the work that is not expected, verb by verb with its count"`
}

// Measure is one figure for all subjects. A subject without it is absent from Values.
type Measure struct {
	Name   string            `json:"name"`
	Unit   string            `json:"unit"`
	Values map[string]string `json:"values"`
	Kind   string            `json:"kind" enum:"counted,measured,billed" doc:"counted in the record, measured from outside, or from the bill"`
	// Times says when each value was measured.
	Times map[string]time.Time `json:"times,omitempty"`
}

// Measurement is a figure somebody measured of a subject from outside, as the time a killed app took to answer again.
type Measurement struct {
	Subject string    `json:"subject"`
	Name    string    `json:"name" pattern:"^[a-z0-9 -]{1,60}$"`
	Unit    string    `json:"unit" maxLength:"16"`
	Value   string    `json:"value" doc:"decimal"`
	At      time.Time `json:"at"`
}

// Comparisons compares subjects of a project.
type Comparisons interface {
	// Compare. names are instances, apps and functions, or project/NAME of this project; none: all of the project. NotFound: a name.
	// Conflict: a name that is two nouns; say instance/NAME, app/NAME or function/NAME.
	Compare(ctx context.Context, project string, names []string) (Comparison, error)
	// Measure stores a figure; the newest of a subject and name counts. NotFound, Invalid.
	Measure(ctx context.Context, project string, m Measurement) error
}

// CloudStatus is the cloud at a glance.
type CloudStatus struct {
	CloudID    string         `json:"cloudId"`
	Version    string         `json:"version"`
	Engine     string         `json:"engine" doc:"docker or sim, with its version"`
	EngineNote string         `json:"engineNote,omitempty" doc:"why this engine, or what is wrong with it"`
	API        string         `json:"api"`
	Edge       string         `json:"edge"`
	EdgeCA     string         `json:"edgeCA,omitempty" doc:"the edge speaks HTTPS, with certificates of this authority (PEM), which is good for names under localhost only; absent: plain HTTP"`
	StartedAt  time.Time      `json:"startedAt"`
	Ready      bool           `json:"ready"`
	Counts     map[string]int `json:"counts" doc:"by noun"`
	Spend      string         `json:"spend" doc:"USD in this period so far"`
	Clock      ClockState     `json:"clock" doc:"the billing clock"`
	Unhealthy  []Unhealthy    `json:"unhealthy"`
}

// Unhealthy is something that is not as it should be, and why.
type Unhealthy struct {
	Noun    string `json:"noun"`
	Project string `json:"project"`
	Name    string `json:"name"`
	Phase   Phase  `json:"phase"`
	Reason  string `json:"reason"`
}

// System is the cloud itself.
type System interface {
	Status(ctx context.Context) (CloudStatus, error)
	// Backup writes a consistent copy of the state to w while the cloud runs. Forbidden to a token limited to a project.
	Backup(ctx context.Context, w io.Writer) error
	// Shutdown stops every workload, then the control plane; data stays and what should run is not changed.
	// It answers before the process ends. Forbidden to a token limited to a project.
	Shutdown(ctx context.Context) error
}
