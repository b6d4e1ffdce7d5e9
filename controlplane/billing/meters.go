package billing

import (
	"math"
	"math/bits"
	"time"

	"nuage/api"
)

// Unit is what a quantity is shown and priced in, with the capitalisation of FOCUS.
type Unit string

// The units, each with the stored quantity it is made from.
const (
	Hours       Unit = "Hours"        // stored in ms
	Minutes     Unit = "Minutes"      // stored in ms
	GBMonths    Unit = "GB-Months"    // stored in MiB-ms; a GB is 1024 MiB, the price book says how long a month is
	GBSeconds   Unit = "GB-Seconds"   // stored in MB-ms; as on AWS Lambda a GB is 1024 MB
	VCPUSeconds Unit = "vCPU-Seconds" // stored in thousandths of a vCPU x ms
	Requests    Unit = "Requests"     // stored as a count
	GB          Unit = "GB"           // stored in bytes; 2^30 of them
)

const (
	msPerMinute = 60_000
	msPerHour   = 3_600_000
	msPerDay    = 24 * msPerHour
	mibPerGB    = 1024
	bytesInMiB  = 1 << 20
)

// Stored names the integer unit that Usage.Quantity has for a meter of this unit.
func (u Unit) Stored() string {
	switch u {
	case Hours, Minutes:
		return "ms"
	case GBMonths:
		return "MiB-ms"
	case GBSeconds:
		return "MB-ms"
	case VCPUSeconds:
		return "milli-vCPU-ms"
	case GB:
		return "bytes"
	}
	return "requests"
}

// divisor is how many stored units make one priced unit.
func (u Unit) divisor(hoursPerMonth int64) int64 {
	switch u {
	case Hours:
		return msPerHour
	case Minutes:
		return msPerMinute
	case GBMonths:
		return mibPerGB * hoursPerMonth * msPerHour
	case GBSeconds:
		return mibPerGB * 1000
	case VCPUSeconds:
		return 1_000_000
	case GB:
		return 1 << 30
	}
	return 1
}

// Meter is something the cloud measures and sells. It is declared once, here; price books price it by name.
type Meter struct {
	Name    string
	Unit    Unit
	Service string // of its usage and bill lines: instances, apps, ...
	Model   string // iaas, paas or faas
	// Spread says that a quantity accrued evenly over its interval, so that the border of a period or day divides it.
	// The quantity of any other meter belongs whole to the interval's start.
	Spread bool
	// PerRun says that a quantity is made by starts and stops of something: each usage record carries the id of its run, so
	// that a price book may set a minimum per run. Other quantities accrue while a record exists.
	PerRun bool
}

// Names of meters without a size. Those with one are built by InstanceHours, SpotHours, AppHours and DatabaseHours.
const (
	PublicAddressHours  = "public-address-hours"    // of an instance that the laptop reaches: one run is from a start to the stop
	LoadBalancerHours   = "load-balancer-hours"     // while the load balancer exists, used or not
	VolumeStorage       = "volume-storage"          // declared size, attached or not
	SnapshotStorage     = "snapshot-storage"        // measured size
	ImageStorage        = "image-storage"           // measured size of images that a project made or pulled
	BuildMinutes        = "build-minutes"           // of builds that made an image
	DatabaseStorage     = "database-storage"        // declared size
	BackupStorage       = "backup-storage"          // measured size of a database's backups
	AppBytesOut         = "app-bytes-out"           // bodies that the edge sends for apps
	FunctionBytesOut    = "function-bytes-out"      // bodies that the edge sends for functions
	BalancerBytesOut    = "load-balancer-bytes-out" // bodies, and streams of TCP
	AsyncRequests       = "function-async-requests" // accepted events, of 64 KiB each
	FunctionRequests    = "function-requests"
	FunctionGBSeconds   = "function-gb-seconds"
	QueueRequests       = "queue-requests"        // of 64 KiB each, as those of topics
	TopicRequests       = "topic-requests"        // of 64 KiB each
	FunctionVCPUSeconds = "function-vcpu-seconds" // by books that bill CPU beside memory
)

// InstanceHours names the meter of instances of a size (see api.Sizes): one run is from a start to the stop.
func InstanceHours(size string) string { return "instance-hours:" + size }

// SpotHours names the meter of spot instances of a size: runs as of InstanceHours.
func SpotHours(size string) string { return "spot-hours:" + size }

// AppHours names the meter of an app's replicas of a size: each replica is a run.
func AppHours(size string) string { return "app-hours:" + size }

// DatabaseHours names the meter of databases of a size: one run is from available to stopped.
func DatabaseHours(size string) string { return "database-hours:" + size }

// Meters returns all meters: by service, and within it smallest size first. An instance's root disk has none: it is free.
func Meters() []Meter {
	var all []Meter
	hours := func(name func(string) string, service, model string) {
		for _, s := range api.Sizes() {
			all = append(all, Meter{Name: name(s.Name), Unit: Hours, Service: service, Model: model, Spread: true, PerRun: true})
		}
	}
	hours(InstanceHours, "instances", "iaas")
	hours(SpotHours, "instances", "iaas")
	all = append(all,
		Meter{Name: PublicAddressHours, Unit: Hours, Service: "networks", Model: "iaas", Spread: true, PerRun: true},
		Meter{Name: LoadBalancerHours, Unit: Hours, Service: "load-balancers", Model: "iaas", Spread: true},
		Meter{Name: BalancerBytesOut, Unit: GB, Service: "load-balancers", Model: "iaas"},
		Meter{Name: VolumeStorage, Unit: GBMonths, Service: "volumes", Model: "iaas", Spread: true},
		Meter{Name: SnapshotStorage, Unit: GBMonths, Service: "snapshots", Model: "iaas", Spread: true},
		Meter{Name: ImageStorage, Unit: GBMonths, Service: "images", Model: "iaas", Spread: true})
	hours(AppHours, "apps", "paas")
	all = append(all, Meter{Name: BuildMinutes, Unit: Minutes, Service: "apps", Model: "paas", Spread: true},
		Meter{Name: AppBytesOut, Unit: GB, Service: "apps", Model: "paas"})
	hours(DatabaseHours, "databases", "paas")
	return append(all,
		Meter{Name: DatabaseStorage, Unit: GBMonths, Service: "databases", Model: "paas", Spread: true},
		Meter{Name: BackupStorage, Unit: GBMonths, Service: "databases", Model: "paas", Spread: true},
		Meter{Name: FunctionRequests, Unit: Requests, Service: "functions", Model: "faas"},
		Meter{Name: FunctionGBSeconds, Unit: GBSeconds, Service: "functions", Model: "faas"},
		Meter{Name: FunctionVCPUSeconds, Unit: VCPUSeconds, Service: "functions", Model: "faas"},
		Meter{Name: FunctionBytesOut, Unit: GB, Service: "functions", Model: "faas"},
		Meter{Name: AsyncRequests, Unit: Requests, Service: "functions", Model: "faas"},
		Meter{Name: QueueRequests, Unit: Requests, Service: "queues", Model: "faas"},
		Meter{Name: TopicRequests, Unit: Requests, Service: "topics", Model: "faas"})
}

// MeterOf returns the meter of that name, and whether there is one.
func MeterOf(name string) (Meter, bool) {
	for _, m := range Meters() {
		if m.Name == name {
			return m, true
		}
	}
	return Meter{}, false
}

// Millis is the whole milliseconds from start to end, both cut to the millisecond first, so that the parts of an
// interval add up to the whole wherever it is divided. It is the quantity of a run, and 0 where end is not after start.
func Millis(start, end time.Time) int64 { return max(0, end.UnixMilli()-start.UnixMilli()) }

// MiBMillis is the quantity of bytes kept from start to end; a begun MiB counts whole.
// Exhausted: the product is over 2^63-1.
func MiBMillis(bytes int64, start, end time.Time) (int64, error) {
	if bytes < 0 {
		return 0, api.Errorf(api.Invalid, "cannot meter %d bytes: a size is not negative", bytes)
	}
	mib := bytes / bytesInMiB
	if bytes%bytesInMiB != 0 {
		mib++
	}
	return multiply(mib, Millis(start, end))
}

// MBMillis is the quantity of a call. Invalid: a negative operand. Exhausted: the product is over 2^63-1.
func MBMillis(memoryMB, billedMs int64) (int64, error) {
	if memoryMB < 0 || billedMs < 0 {
		return 0, api.Errorf(api.Invalid, "cannot meter a call of %d MB and %d ms: neither may be negative", memoryMB, billedMs)
	}
	return multiply(memoryMB, billedMs)
}

// multiply multiplies two numbers that are not negative.
func multiply(a, b int64) (int64, error) {
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	if hi != 0 || lo > math.MaxInt64 {
		return 0, api.Errorf(api.Exhausted, "cannot meter %d times %d: the quantity is over 2^63-1", a, b)
	}
	return int64(lo), nil
}

// sum adds two quantities that may be negative, as those of adjustments.
func sum(a, b int64) (int64, error) {
	if a < 0 != (b < 0) {
		return a + b, nil
	}
	if a < 0 {
		n, err := sum(-(a + 1), -(b + 1)) // as -2^63 has no opposite
		if err != nil || n > math.MaxInt64-2 {
			return 0, api.Errorf(api.Exhausted, "cannot add the quantities %d and %d: the sum is under -2^63", a, b)
		}
		return -n - 2, nil
	}
	return add(a, b)
}

// add adds two numbers that are not negative.
func add(a, b int64) (int64, error) {
	if a > math.MaxInt64-b {
		return 0, api.Errorf(api.Exhausted, "cannot add the quantities %d and %d: the sum is over 2^63-1; ask for a shorter period", a, b)
	}
	return a + b, nil
}

// Ahead is usage as it will be at the end of a period of which a part has passed, at the pace until now: calls and requests grow with
// the time, the rest is as it is given. Exhausted: over 2^63-1.
func Ahead(u api.Usage, period, passed time.Duration) (api.Usage, error) {
	m, ok := MeterOf(u.Meter)
	if !ok || m.Spread || passed <= 0 || passed >= period {
		return u, nil
	}
	hi, lo := bits.Mul64(uint64(u.Quantity), uint64(period.Milliseconds()))
	by := uint64(passed.Milliseconds())
	if hi >= by {
		return u, api.Errorf(api.Exhausted, "cannot foresee %d of %q: over 2^63-1", u.Quantity, u.Meter)
	}
	ahead, _ := bits.Div64(hi, lo, by)
	if ahead > math.MaxInt64 {
		return u, api.Errorf(api.Exhausted, "cannot foresee %d of %q: over 2^63-1", u.Quantity, u.Meter)
	}
	u.Quantity = int64(ahead)
	return u, nil
}
