package billing

import (
	"maps"
	"slices"
	"time"
)

// part is what of a line has one price.
type part struct {
	line     *line
	order    int // 0 what is free, 1 the first price, and so on
	band     band
	slices   map[int64]int64
	quantity int64 // within the period
}

// divide says what each line's quantity costs: what is free first, then by tiers. The lines come in their order, and so do
// the parts. What is used together in one slice of time shares allowances and tiers in proportion, so that no order of events counts.
func (r *Rating) divide(lines []*line) ([]*part, error) {
	var all []*part
	pools := make(map[string][]*line)
	for _, l := range lines {
		if l.price.banded() {
			pools[l.key.project] = append(pools[l.key.project], l)
			continue
		}
		all = append(all, &part{line: l, order: 1, band: l.price.bands[0], slices: l.slices})
	}
	for _, project := range slices.Sorted(maps.Keys(pools)) {
		p := pool{lines: pools[project], parts: make(map[partKey]*part)}
		if err := p.divide(); err != nil {
			return nil, err
		}
		all = slices.AppendSeq(all, maps.Values(p.parts))
	}
	for _, p := range all {
		for at, quantity := range p.slices {
			if at >= r.from {
				var err error
				if p.quantity, err = add(p.quantity, quantity); err != nil {
					return nil, err
				}
			}
		}
	}
	return all, nil
}

// pool is the lines of a project whose prices depend on how much was used before.
type pool struct {
	lines []*line
	parts map[partKey]*part
	rest  []int64 // what is not divided yet of each line in the slice at hand
}

type partKey struct {
	line  *line
	order int
}

// meterUse is what was used so far in a month.
type meterUse struct {
	month, day int64
	given      map[*allowance]int64
	paid       map[*price]int64
}

// divide goes through the slices of time in their order.
func (p *pool) divide() error {
	starts, use := make(map[int64]bool), meterUse{month: -1, day: -1}
	for _, l := range p.lines {
		for at := range l.slices {
			starts[at] = true
		}
	}
	p.rest = make([]int64, len(p.lines))
	for _, at := range slices.Sorted(maps.Keys(starts)) {
		use.enter(at)
		for i, l := range p.lines {
			p.rest[i] = l.slices[at]
		}
		if err := p.divideSlice(at, &use); err != nil {
			return err
		}
	}
	return nil
}

// enter begins with what is free again where a day or a month begins.
func (u *meterUse) enter(at int64) {
	t := time.UnixMilli(at).UTC()
	if month := int64(t.Year())*12 + int64(t.Month()); month != u.month {
		u.month, u.given, u.paid = month, make(map[*allowance]int64), make(map[*price]int64)
	}
	if d := day(at); d != u.day {
		u.day = d
		maps.DeleteFunc(u.given, func(a *allowance, _ int64) bool { return a.daily })
	}
}

// divideSlice shares allowances, then tiers.
func (p *pool) divideSlice(at int64, use *meterUse) error {
	done := make(map[any]bool)
	for _, l := range p.lines {
		free := l.price.free
		if free == nil || done[free] {
			continue
		}
		done[free] = true
		has := func(o *line) bool { return o.price.free == free }
		given, err := p.share(at, 0, band{note: free.note}, free.stored-use.given[free], has)
		if err != nil {
			return err
		}
		use.given[free] += given
	}
	for _, l := range p.lines {
		if done[l.price] {
			continue
		}
		done[l.price] = true
		if err := p.shareTiers(at, l.price, use); err != nil {
			return err
		}
	}
	return nil
}

// shareTiers divides what is left of a meter by its tiers.
func (p *pool) shareTiers(at int64, of *price, use *meterUse) error {
	has := func(o *line) bool { return o.price == of }
	for i, b := range of.bands {
		room := int64(1<<63 - 1)
		if i+1 < len(of.bands) {
			room = of.bands[i+1].above - use.paid[of]
		}
		given, err := p.share(at, i+1, b, room, has)
		if err != nil {
			return err
		}
		if use.paid[of], err = add(use.paid[of], given); err != nil {
			return err
		}
	}
	return nil
}

// share gives the lines that have a price up to room at it, in proportion to what is left of them, and returns how much.
func (p *pool) share(at int64, order int, b band, room int64, has func(*line) bool) (int64, error) {
	total, err := int64(0), error(nil)
	for i, l := range p.lines {
		if has(l) {
			if total, err = add(total, p.rest[i]); err != nil {
				return 0, err
			}
		}
	}
	given := min(total, max(0, room))
	if given == 0 {
		return 0, nil
	}
	sum := int64(0)
	for i, l := range p.lines {
		if !has(l) || p.rest[i] == 0 {
			continue
		}
		before := portion(given, total, sum)
		sum += p.rest[i]
		mine := portion(given, total, sum) - before
		p.rest[i] -= mine
		p.put(l, order, b, at, mine)
	}
	return given, nil
}

// put adds to a part of a line.
func (p *pool) put(l *line, order int, b band, at, quantity int64) {
	if quantity == 0 {
		return
	}
	key := partKey{l, order}
	if p.parts[key] == nil {
		p.parts[key] = &part{line: l, order: order, band: b, slices: make(map[int64]int64)}
	}
	p.parts[key].slices[at] = quantity
}
