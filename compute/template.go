package compute

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// Template is a hash of the fields that cannot change in place: a container whose label nuage.template differs is
// not current. Live fields, and the generation it was made at, are left out; so are zero fields, that a new field in a
// later version of nuage does not replace every container.
func (w Workload) Template() string {
	w.Limits, w.Running, w.Generation, w.Joined = Limits{}, false, 0, nil
	b, err := json.Marshal(w) // plain data: map keys are sorted, nothing here can fail to encode
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}
