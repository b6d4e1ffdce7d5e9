package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestSettingsPrecedence(t *testing.T) {
	const other = "http://other.example:7070"
	for _, c := range []struct {
		name string
		env  []string
		args globals
		want config
	}{
		{"config.json", nil, globals{}, config{"http://127.0.0.1:7070", "stored", "shop"}},
		{"environment over config.json", []string{"NUAGE_URL=" + other, "NUAGE_TOKEN=env", "NUAGE_PROJECT=envp"}, globals{}, config{other, "env", "envp"}},
		{"flags over environment", []string{"NUAGE_URL=" + other, "NUAGE_TOKEN=env", "NUAGE_PROJECT=envp"},
			globals{url: "http://localhost:1", token: "flag", project: "flagp"}, config{"http://localhost:1", "flag", "flagp"}},
		{"a stored token goes to no other machine", nil, globals{url: other}, config{other, "", "shop"}},
		{"a stored token goes to this laptop", nil, globals{url: "http://localhost:9"}, config{"http://localhost:9", "stored", "shop"}},
	} {
		home := t.TempDir()
		if err := saveConfig(home, config{"http://127.0.0.1:7070", "stored", "shop"}); err != nil {
			t.Fatal(err)
		}
		cli := newCLI(append(c.env, "NUAGE_HOME="+home), nil, nil, nil)
		cli.flags = c.args
		if got, err := cli.settings(); err != nil || got != c.want {
			t.Errorf("%s: got %+v, %v, want %+v", c.name, got, err, c.want)
		}
	}
}

func TestSettingsOfANewHome(t *testing.T) {
	cli := newCLI([]string{"HOME=" + t.TempDir()}, nil, nil, nil)
	want := config{"http://127.0.0.1:7070", "", "default"}
	if got, err := cli.settings(); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestRememberCloudKeepsTheProjectAndIsPrivate(t *testing.T) {
	home := t.TempDir()
	if err := rememberCloud(home, "127.0.0.1:1", "one"); err != nil {
		t.Fatal(err)
	}
	conf, err := loadConfig(home)
	if want := (config{"http://127.0.0.1:1", "one", "default"}); err != nil || conf != want {
		t.Errorf("got %+v, %v, want %+v", conf, err, want)
	}
	conf.Project = "shop"
	if err := saveConfig(home, conf); err != nil {
		t.Fatal(err)
	}
	if err := rememberCloud(home, "127.0.0.1:2", "two"); err != nil {
		t.Fatal(err)
	}
	conf, err = loadConfig(home)
	if want := (config{"http://127.0.0.1:2", "two", "shop"}); err != nil || conf != want {
		t.Errorf("got %+v, %v, want %+v", conf, err, want)
	}
	info, err := os.Stat(configPath(home))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("config.json: %v, %v, want -rw-------", info.Mode(), err)
	}
	if names, err := os.ReadDir(home); err != nil || len(names) != 1 {
		t.Errorf("%d files in the home, %v, want config.json alone", len(names), err)
	}
}

func TestBrokenSettingsAreNamed(t *testing.T) {
	w := newWorld(t, "")
	home := w.env["NUAGE_HOME"]
	if err := os.WriteFile(filepath.Join(home, "config.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.check(t, "! nuage: cannot read the settings in \""+configPath(home)+"\": unexpected end of JSON input; remove the file, nuage up writes it anew\nexit 1\n", "app", "list")
}
