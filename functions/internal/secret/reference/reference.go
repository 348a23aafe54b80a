// Package reference reads what settings say in place of a secret: where it is kept.
package reference

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

const (
	vaultScheme = "vault://"
	fileScheme  = "file://"
)

// Is says whether a setting is a reference.
func Is(text string) bool { return Store(text) || strings.HasPrefix(text, fileScheme) }

// Store says whether it is one to the secrets store.
func Store(text string) bool { return strings.HasPrefix(text, vaultScheme) }

// Value names one value of a secret in a key-value engine of version 2: vault://<mount>/<path>#<key>.
type Value struct {
	Mount, Path, Key string
	Base64           bool // ?encoding=base64: the value is that of bytes, such as a keytab
}

// String is the reference without its scheme, as messages name it.
func (v Value) String() string { return v.Mount + "/" + v.Path + "#" + v.Key }

// Keyed says whether a reference names a key of a secret, and not a key of transit.
func Keyed(text string) bool { return strings.Contains(text, "#") }

// File gives the path of file:///<path>.
func File(text string) (string, error) {
	path := strings.TrimPrefix(text, fileScheme)
	if !strings.HasPrefix(path, "/") || strings.ContainsAny(path, "?#") {
		return "", errors.New("must be file:///<absolute path>")
	}
	return path, nil
}

// ParseValue reads a reference to a value.
func ParseValue(text string) (v Value, err error) {
	u, err := parse(text)
	if err != nil {
		return v, err
	}
	v = Value{Mount: u.Host, Path: strings.Trim(u.Path, "/"), Key: u.Fragment}
	if v.Path == "" || v.Key == "" {
		return v, errors.New("must be vault://<mount>/<path>#<key>")
	}
	if path, of := strings.CutPrefix(v.Path, "data/"); of {
		return v, fmt.Errorf("must be vault://%s/%s#%s: data/ is a part of the API's path and not of the secret's", v.Mount, path, v.Key)
	}
	switch query, encoding := u.Query(), u.Query().Get("encoding"); {
	case len(query) == 0:
	case len(query) == 1 && encoding == "base64":
		v.Base64 = true
	default:
		return v, errors.New("takes nothing behind ? but encoding=base64")
	}
	return v, nil
}

// Key names one version of a key of the transit engine: vault://<mount>/<name>?version=<n>.
type Key struct {
	Mount, Name string
	Version     int // 1 if none is named: it never changes by itself
}

// ParseKey reads a reference to a key.
func ParseKey(text string) (k Key, err error) {
	u, err := parse(text)
	if err != nil {
		return k, err
	}
	k = Key{Mount: u.Host, Name: strings.Trim(u.Path, "/"), Version: 1}
	if k.Name == "" || strings.Contains(k.Name, "/") || u.Fragment != "" {
		return k, errors.New("must be vault://<mount of transit>/<key>")
	}
	query := u.Query()
	if version := query.Get("version"); version != "" {
		if k.Version, err = strconv.Atoi(version); err != nil || k.Version < 1 {
			return k, fmt.Errorf("must name a version from 1 on, not %q", version)
		}
		query.Del("version")
	}
	if len(query) > 0 {
		return k, errors.New("takes nothing behind ? but version=<number>")
	}
	return k, nil
}

// ParseRing reads a reference to a key whose newest version counts: it names none.
func ParseRing(text string) (Key, error) {
	k, err := ParseKey(text)
	if err == nil && strings.Contains(text, "?") {
		err = errors.New("takes nothing behind ?: the newest version of the key is used")
	}
	k.Version = 0
	return k, err
}

func parse(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || !Store(text) || u.Host == "" || u.User != nil || u.Port() != "" {
		return nil, errors.New("must begin with vault://<mount>/")
	}
	return u, nil
}
