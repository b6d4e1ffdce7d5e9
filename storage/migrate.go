package storage

import (
	"fmt"
	"strconv"

	"nuage/api"
)

const (
	bucketMeta = "meta"
	metaSchema = "schema"
	metaCloud  = "cloud"
	metaKey    = "key"
)

// Migration is one step of the schema. The position in Options.Migrations is its number, so the list only ever grows at
// its end. Run sees the file as the steps before left it, on a new file an empty one.
type Migration struct {
	// Name says what the step does, for the log and for errors.
	Name string
	// Run changes the file. All pending steps share one transaction: an error undoes them all.
	Run func(*Tx) error
}

func (tx *Tx) meta(key string) string {
	b := tx.bolt.Bucket([]byte(bucketMeta))
	if b == nil {
		return ""
	}
	return string(b.Get([]byte(key)))
}

func (tx *Tx) setMeta(key, value string) error {
	b, err := tx.bolt.CreateBucketIfNotExists([]byte(bucketMeta))
	if err == nil {
		err = b.Put([]byte(key), []byte(value))
	}
	if err != nil {
		return tx.writeError(err, bucketMeta, key)
	}
	tx.writes++
	return nil
}

// migrate founds a new file and brings an old one to this program's schema.
func (s *Store) migrate(tx *Tx) error {
	if err := s.found(tx); err != nil {
		return err
	}
	from, err := tx.schema(fmt.Sprintf("cannot open %q", s.path), len(s.opts.Migrations))
	if err != nil {
		return err
	}
	for i, m := range s.opts.Migrations[from:] {
		s.opts.Logger.Info("migrating the store", "path", s.path, "step", from+i+1, "name", m.Name)
		if err := m.Run(tx); err != nil {
			return api.Errorf(api.CodeOf(err), "cannot open %q: migration %d (%s) failed: %w; nothing was changed", s.path, from+i+1, m.Name, err)
		}
	}
	if from == len(s.opts.Migrations) {
		return nil
	}
	return tx.setMeta(metaSchema, strconv.Itoa(len(s.opts.Migrations)))
}

// found writes the meta bucket of a file that is still empty.
func (s *Store) found(tx *Tx) error {
	if tx.bolt.Bucket([]byte(bucketMeta)) != nil {
		return nil
	}
	if first, _ := tx.bolt.Cursor().First(); first != nil {
		return api.Errorf(api.Invalid, "cannot open %q: it is a bbolt file of another program; choose another home", s.path)
	}
	if s.opts.NewCloudID == nil {
		return api.Errorf(api.NotFound, "cannot open %q: there is no cloud yet; start one with \"nuage up\"", s.path)
	}
	if err := tx.setMeta(metaCloud, s.opts.NewCloudID()); err != nil {
		return err
	}
	return tx.setMeta(metaSchema, "0")
}

// schema reads the schema version and refuses one above known; refusal is how the message begins.
func (tx *Tx) schema(refusal string, known int) (int, error) {
	version, err := strconv.Atoi(tx.meta(metaSchema))
	if err != nil || version < 0 {
		return 0, api.Errorf(api.Invalid, "%s: its schema version %q is no number; take another backup file", refusal, tx.meta(metaSchema))
	}
	if version > known {
		return 0, api.Errorf(api.Unsupported, "%s: a newer nuage wrote it (schema %d, this one knows %d); use that version or an older backup", refusal, version, known)
	}
	return version, nil
}

// Rewrite replaces the raw JSON of every record of a table by what fn returns for it, under the same key; nil deletes
// the record. It is for migrations: indexes are left alone, call Reindex of the table's new shape afterwards.
func (tx *Tx) Rewrite(table string, fn func(key string, value []byte) ([]byte, error)) error {
	b := tx.bucket(kindTable, table, partRecords)
	if b == nil {
		return nil
	}
	return walk(b, "", "", true, func(key, value []byte) error {
		tx.store.damage.heal(kindTable, table, string(key))
		next, err := fn(string(key), value)
		if err != nil {
			return err
		}
		if next == nil {
			return tx.remove(kindTable, table, partRecords, key)
		}
		return tx.put(kindTable, table, partRecords, key, next)
	})
}

// DropTable deletes a table with its records and indexes. An absent one is no error.
func (tx *Tx) DropTable(table string) error {
	parent := tx.bolt.Bucket([]byte(kindTable))
	if parent == nil || parent.Bucket([]byte(table)) == nil {
		return nil
	}
	for path := range tx.buckets {
		if path.kind == kindTable && path.name == table {
			delete(tx.buckets, path)
		}
	}
	return tx.wrote(kindTable, table, nil, parent.DeleteBucket([]byte(table)))
}

// CheckKey ties the store to the key that seals its secrets: the first call remembers the key's fingerprint, later ones
// compare. Another key answers conflict.
func (s *Store) CheckKey(sealer *Sealer) error {
	return s.Update(func(tx *Tx) error {
		switch tx.meta(metaKey) {
		case sealer.Fingerprint():
			return nil
		case "":
			return tx.setMeta(metaKey, sealer.Fingerprint())
		default:
			return api.Errorf(api.Conflict, "cannot use key %q: the secrets in %q were sealed with another key; put that key file back", sealer.path, s.path)
		}
	})
}
