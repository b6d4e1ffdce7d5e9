package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/govalues/decimal"
)

// ageText says how long ago, in the largest whole unit: 5s, 3m, 2h, 4d.
func ageText(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < 2*time.Minute:
		return strconv.Itoa(int(d.Seconds())) + "s"
	case d < 2*time.Hour:
		return strconv.Itoa(int(d.Minutes())) + "m"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d.Hours())) + "h"
	default:
		return strconv.Itoa(int(d.Hours()/24)) + "d"
	}
}

// age is how old a thing made at t is.
func (c *cli) age(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return ageText(c.now().Sub(t))
}

// bytesText is a number of bytes in the largest unit that leaves at least 1: 512 MiB, 1.5 GiB.
func bytesText(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	value, i := float64(n), 0
	for value >= 1024 && i < len(units)-1 {
		value, i = value/1024, i+1
	}
	return strings.TrimSuffix(strconv.FormatFloat(value, 'f', 1, 64), ".0") + " " + units[i]
}

// amount is money with a fixed number of decimals, rounded half to even. What is no decimal is shown as it is.
func amount(value string, places int) string {
	d, err := decimal.Parse(value)
	if err != nil {
		return value
	}
	return "$" + d.Round(places).Pad(places).String()
}

// price is an exact unit price: six decimals, more where it has more.
func price(value string) string {
	d, err := decimal.Parse(value)
	if err != nil {
		return value
	}
	return "$" + d.Trim(6).Pad(6).String()
}

// timeText is a moment as people read it, in UTC.
func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05")
}

// plural is "1 file", "2 files".
func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// pairsText is K=V,K=V in the order of the keys.
func pairsText(m map[string]string) string {
	return strings.Join(envLines(m), ",")
}
