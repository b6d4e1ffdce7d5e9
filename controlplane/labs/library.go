package labs

import (
	"embed"
	"errors"
	"io/fs"
	"maps"
	"path"
	"slices"

	"nuage/api"
)

//go:embed texts
var texts embed.FS

// Shipped are the labs that come with the cloud.
func Shipped() fs.FS {
	sub, err := fs.Sub(texts, "texts")
	if err != nil {
		panic(err) // the folder is embedded
	}
	return sub
}

// Library holds labs by name and language.
type Library struct{ labs map[string]map[string]Lab }

// Load reads the labs of folders; one of a later folder takes the place of one with its name. Invalid: a file that is no lab, or
// one that Lint calls wrong. Unavailable: a folder can't be read.
func Load(folders ...fs.FS) (*Library, error) {
	all := &Library{labs: map[string]map[string]Lab{}}
	for _, folder := range folders {
		found, err := readAll(folder)
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			if f.err != nil {
				return nil, f.err
			}
		}
		own := byName(found)
		for _, f := range Judge(own) {
			if !f.Advice {
				return nil, api.Errorf(api.Invalid, "cannot use lab %q: %s; `nuage lab lint` finds all that is wrong", f.File, f.Text)
			}
		}
		maps.Copy(all.labs, own)
	}
	return all, nil
}

// parsed is what came of a file.
type parsed struct {
	file string
	lab  Lab
	err  error
}

// readAll parses all Markdown files of a folder but README.md, by name.
func readAll(folder fs.FS) (found []parsed, err error) {
	files, err := fs.Glob(folder, "*.md")
	if err == nil {
		_, err = fs.Stat(folder, ".")
	}
	if err != nil {
		return nil, api.Errorf(api.Unavailable, "cannot read the folder of labs: %w", err)
	}
	for _, file := range files {
		if file == "README.md" {
			continue
		}
		data, err := fs.ReadFile(folder, file)
		if err != nil {
			return nil, api.Errorf(api.Unavailable, "cannot read lab %q: %w", file, err)
		}
		lab, err := Parse(file, data)
		if err == nil {
			lab.Files, err = brought(folder, lab)
		}
		found = append(found, parsed{file, lab, err})
	}
	return found, nil
}

const mostCompanions = 2 << 20

// brought are the files a lab brings along: those of the folder with its name, and of samples.
func brought(folder fs.FS, l Lab) (map[string][]byte, error) {
	all, err := companions(folder, l.Name)
	if err != nil {
		return nil, err
	}
	if all == nil {
		all = map[string][]byte{}
	}
	for into, sample := range l.Samples {
		files, err := companions(samples, sample)
		if err != nil {
			return nil, err
		}
		if len(files) == 0 || !fs.ValidPath(into) {
			return nil, api.Errorf(api.Invalid, "cannot copy sample %q to %q for lab %q: there is no such sample, or no such place", sample, into, l.Name)
		}
		for name, data := range files {
			all[path.Join(into, name)] = data
		}
	}
	return all, nil
}

// companions are the files of a folder; none where it is not there.
func companions(folder fs.FS, name string) (map[string][]byte, error) {
	files, size := map[string][]byte{}, 0
	err := fs.WalkDir(folder, name, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if !d.Type().IsRegular() {
			return api.Errorf(api.Invalid, "cannot take %q along: it is no plain file", file)
		}
		data, err := fs.ReadFile(folder, file)
		if size += len(data); size > mostCompanions {
			return api.Errorf(api.Invalid, "cannot take the files of lab %q along: they are over %d MiB", name, mostCompanions>>20)
		}
		files[path.Clean(file[len(name)+1:])] = data
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return files, err
}

func byName(found []parsed) map[string]map[string]Lab {
	labs := map[string]map[string]Lab{}
	for _, f := range found {
		if f.err != nil {
			continue
		}
		if labs[f.lab.Name] == nil {
			labs[f.lab.Name] = map[string]Lab{}
		}
		labs[f.lab.Name][f.lab.Language] = f.lab
	}
	return labs
}

// Names are the labs there are, in order.
func (l *Library) Names() []string { return slices.Sorted(maps.Keys(l.labs)) }

// Get finds a lab in a language; "" is English, or the first there is. NotFound, Invalid.
func (l *Library) Get(name, language string) (Lab, error) {
	texts, ok := l.labs[name]
	if !ok {
		return Lab{}, api.Errorf(api.NotFound, "cannot find lab %q: `nuage lab list` shows what there is", name)
	}
	if lab, ok := texts[language]; ok {
		return lab, nil
	}
	if language != "" {
		return Lab{}, api.Errorf(api.Invalid, "cannot show lab %q in language %q: it is there in %s", name, language, l.Languages(name))
	}
	if lab, ok := texts["en"]; ok {
		return lab, nil
	}
	return texts[l.Languages(name)[0]], nil
}

// Languages are those a lab is there in.
func (l *Library) Languages(name string) []string { return slices.Sorted(maps.Keys(l.labs[name])) }
