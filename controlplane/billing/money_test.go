package billing

import (
	"math/big"
	"regexp"
	"strings"
	"testing"

	"github.com/govalues/decimal"
)

func TestRoundIsHalfToEven(t *testing.T) {
	for _, c := range []struct {
		num, den int64
		want     string
		exact    bool
	}{
		{0, 1, "0.000000", true},
		{5, 10_000_000, "0.000000", false},
		{15, 10_000_000, "0.000002", false},
		{25, 10_000_000, "0.000002", false},
		{250_001, 100_000_000_000, "0.000003", false},
		{1, 3, "0.333333", false},
		{2, 3, "0.666667", false},
		{1, 1, "1.000000", true},
		{9_999_999_999, 10_000_000_000, "1.000000", false},
	} {
		v, exact := quotient(c.num, c.den).round(6)
		if got := format(v, 6); got != c.want || exact != c.exact {
			t.Errorf("%d/%d: got %s %v, want %s %v", c.num, c.den, got, exact, c.want, c.exact)
		}
	}
}

func FuzzRound(f *testing.F) {
	f.Add(uint32(25), uint32(10_000_000), uint8(6))
	f.Add(uint32(15), uint32(10_000_000), uint8(6))
	f.Fuzz(func(t *testing.T, num, den uint32, scale uint8) {
		if den == 0 || scale > 18 {
			t.Skip()
		}
		got, exact := quotient(int64(num), int64(den)).round(int(scale))
		x := new(big.Rat).Mul(big.NewRat(int64(num), int64(den)), new(big.Rat).SetInt(pow10(int(scale))))
		if want := naiveRound(x); got.Cmp(want) != 0 {
			t.Errorf("got %s, want %s", got, want)
		}
		if exact != x.IsInt() {
			t.Errorf("exact is %v", exact)
		}
	})
}

// naiveRound rounds to a whole number: up from a half, then down again where a half made it odd.
func naiveRound(x *big.Rat) *big.Int {
	half := new(big.Rat).Add(x, big.NewRat(1, 2))
	n := new(big.Int).Div(half.Num(), half.Denom())
	if half.IsInt() && n.Bit(0) == 1 {
		n.Sub(n, big.NewInt(1))
	}
	return n
}

func FuzzFormat(f *testing.F) {
	f.Add(int64(0), uint8(6))
	f.Add(int64(-1), uint8(12))
	f.Add(int64(1_000_000), uint8(6))
	f.Fuzz(func(t *testing.T, v int64, scale uint8) {
		if scale > 18 {
			t.Skip()
		}
		s := format(big.NewInt(v), int(scale))
		if d, err := decimal.New(v, int(scale)); err == nil && d.String() != s {
			t.Errorf("format(%d, %d) is %q, the decimal %q", v, scale, s, d)
		}
		short, ok := new(big.Rat).SetString(trim(s))
		if whole, _ := new(big.Rat).SetString(s); !ok || short.Cmp(whole) != 0 {
			t.Errorf("trim changes %q to %q", s, trim(s))
		}
		if strings.Contains(s, ".") && strings.HasSuffix(trim(s), "0") && strings.Contains(trim(s), ".") {
			t.Errorf("trim leaves %q", trim(s))
		}
	})
}

func FuzzParsePrice(f *testing.F) {
	for _, s := range []string{"0.02", "0", "1e5", "+1", ".5", "5.", "00.1", "999999.999999999999", "0.0000000000001", "٣"} {
		f.Add(s)
	}
	plain := regexp.MustCompile(`^(0|[1-9][0-9]{0,5})(\.[0-9]{1,12})?$`)
	f.Fuzz(func(t *testing.T, s string) {
		d, err := parsePrice(s)
		if plain.MatchString(s) != (err == nil) {
			t.Fatalf("parsePrice(%q): %v", s, err)
		}
		if err == nil && d.String() != s {
			t.Errorf("%q came back as %q", s, d)
		}
	})
}
