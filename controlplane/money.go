package controlplane

import (
	"github.com/govalues/decimal"

	"nuage/api"
)

// addMoney adds decimal strings exactly.
func addMoney(amounts []string) (string, error) {
	sum, err := decimal.Parse("0.000000")
	if err != nil {
		return "", err
	}
	for _, a := range amounts {
		d, err := decimal.Parse(a)
		if err == nil {
			sum, err = sum.AddExact(d, 6)
		}
		if err != nil {
			return "", api.Errorf(api.Internal, "cannot add %q: %w", a, err)
		}
	}
	return sum.String(), nil
}
