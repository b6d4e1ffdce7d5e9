package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"nuage/api"
)

// Where a cloud listens unless it is told otherwise.
const (
	defaultListen = "127.0.0.1:7070"
	defaultEdge   = "127.0.0.1:7080"
)

// config is HOME/config.json: how commands reach the cloud.
type config struct {
	URL     string `json:"url"`
	Token   string `json:"token"`
	Project string `json:"project"`
}

func configPath(home string) string { return filepath.Join(home, "config.json") }

// loadConfig reads the settings of a home. A home without any answers the zero config.
func loadConfig(home string) (config, error) {
	data, err := os.ReadFile(configPath(home))
	if errors.Is(err, fs.ErrNotExist) {
		return config{}, nil
	}
	if err != nil {
		return config{}, api.Errorf(api.Unavailable, "cannot read the settings: %w", err)
	}
	var conf config
	if err := json.Unmarshal(data, &conf); err != nil {
		return config{}, api.Errorf(api.Invalid, "cannot read the settings in %q: %w; remove the file, nuage up writes it anew", configPath(home), err)
	}
	return conf, nil
}

// saveConfig writes the settings of a home, readable by their owner only.
func saveConfig(home string, conf config) error {
	data, err := json.MarshalIndent(conf, "", "  ")
	if err == nil {
		err = writeFile(configPath(home), append(data, '\n'), 0o600)
	}
	if err != nil {
		return api.Errorf(api.Unavailable, "cannot write the settings: %w", err)
	}
	return nil
}

// rememberCloud notes in the home's settings where its cloud answers and with which token; the chosen project stays.
// The running cloud calls it on every start, before it is ready: nuage up --detach waits for the file to change.
func rememberCloud(home, address, token string) error {
	conf, err := loadConfig(home)
	if err != nil {
		return err
	}
	conf.URL, conf.Token = "http://"+address, token
	if conf.Project == "" {
		conf.Project = "default"
	}
	return saveConfig(home, conf)
}

// settings are the home's, under the environment's, under the flags'.
func (c *cli) settings() (config, error) {
	home, err := c.home()
	if err != nil {
		return config{}, err
	}
	conf, err := loadConfig(home)
	if err != nil {
		return config{}, err
	}
	stored := conf.URL
	conf.URL = cmp.Or(c.flags.url, c.env["NUAGE_URL"], conf.URL, "http://"+defaultListen)
	if !trusted(stored, conf.URL) {
		conf.Token = ""
	}
	conf.Token = cmp.Or(c.flags.token, c.env["NUAGE_TOKEN"], conf.Token)
	conf.Project = cmp.Or(c.flags.project, c.env["NUAGE_PROJECT"], conf.Project, "default")
	return conf, nil
}

// trusted reports whether the token stored for one address may be sent to another: to the same one or to this laptop.
func trusted(stored, asked string) bool {
	if stored == asked {
		return true
	}
	u, err := url.Parse(asked)
	if err != nil {
		return false
	}
	return isLoopback(u.Hostname())
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}

// home is the folder of the cloud's state: --home, else $NUAGE_HOME, else ~/.nuage. It need not exist.
func (c *cli) home() (string, error) {
	home := cmp.Or(c.flags.home, c.env["NUAGE_HOME"])
	if home == "" {
		user := cmp.Or(c.env["HOME"], c.env["USERPROFILE"])
		if user == "" {
			return "", api.Errorf(api.Invalid, "cannot tell where the cloud's home is: set NUAGE_HOME or --home")
		}
		home = filepath.Join(user, ".nuage")
	}
	path, err := filepath.Abs(home)
	if err != nil {
		return "", api.Errorf(api.Invalid, "cannot use %q as home: %w", home, err)
	}
	return path, nil
}

// ensureHome is home, made (0700) where it is missing.
func (c *cli) ensureHome() (string, error) {
	home, err := c.home()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(home, 0o700); err != nil {
		return "", api.Errorf(api.Unavailable, "cannot make the home: %w", err)
	}
	return home, nil
}
