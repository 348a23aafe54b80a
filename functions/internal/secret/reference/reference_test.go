package reference

import (
	"strings"
	"testing"
)

func TestParseValue(t *testing.T) {
	got, err := ParseValue("vault://kv/almanac/process/kafka#password")
	if want := (Value{Mount: "kv", Path: "almanac/process/kafka", Key: "password"}); err != nil || got != want {
		t.Errorf("ParseValue() = %+v, %v, want %+v", got, err, want)
	}
	if got, err = ParseValue("vault://kv/almanac/process/hdfs?encoding=base64#keytab"); err != nil || !got.Base64 || got.String() != "kv/almanac/process/hdfs#keytab" {
		t.Errorf("ParseValue() = %+v, %v", got, err)
	}
	for name, c := range map[string]struct{ text, want string }{
		"no key":              {"vault://kv/almanac/process/kafka", "#<key>"},
		"no path":             {"vault://kv#password", "#<key>"},
		"no mount":            {"vault:///almanac#password", "vault://<mount>/"},
		"a user":              {"vault://me:secret@kv/almanac#password", "vault://<mount>/"},
		"the path of the API": {"vault://kv/data/almanac#password", "vault://kv/almanac#password"},
		"another encoding":    {"vault://kv/almanac?encoding=hex#password", "encoding=base64"},
		"another option":      {"vault://kv/almanac?version=3#password", "encoding=base64"},
		"no URL":              {"vault://kv/%zz#password", "vault://<mount>/"},
	} {
		if got, err := ParseValue(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: ParseValue(%q) = %+v, %v, want %q", name, c.text, got, err, c.want)
		} else if strings.Contains(err.Error(), "me:secret") {
			t.Errorf("%s: the error shows what the reference holds: %v", name, err)
		}
	}
}

func TestParseKey(t *testing.T) {
	for text, want := range map[string]Key{
		"vault://transit/almanac-pseudonym":           {"transit", "almanac-pseudonym", 1},
		"vault://transit/almanac-pseudonym?version=3": {"transit", "almanac-pseudonym", 3},
	} {
		if got, err := ParseKey(text); err != nil || got != want {
			t.Errorf("ParseKey(%q) = %+v, %v, want %+v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"vault://transit":                  "<key>",
		"vault://transit/a/b":              "<key>",
		"vault://transit/a#b":              "<key>",
		"vault://transit/a?version=0":      "from 1 on",
		"vault://transit/a?version=latest": "from 1 on",
		"vault://transit/a?v=1":            "version=<number>",
	} {
		if got, err := ParseKey(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseKey(%q) = %+v, %v, want %q", text, got, err, want)
		}
	}
}

func TestParseRing(t *testing.T) {
	if got, err := ParseRing("vault://transit/almanac-rows"); err != nil || got != (Key{Mount: "transit", Name: "almanac-rows"}) {
		t.Errorf("ParseRing() = %+v, %v", got, err)
	}
	for text, want := range map[string]string{"vault://transit/a?version=1": "the newest version of the key is used", "vault://transit": "<key>", "vault://transit/a#b": "<key>"} {
		if got, err := ParseRing(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseRing(%q) = %+v, %v, want %q", text, got, err, want)
		}
	}
}

func TestFile(t *testing.T) {
	if got, err := File("file:///etc/almanac/ca.pem"); err != nil || got != "/etc/almanac/ca.pem" {
		t.Errorf("File() = %s, %v", got, err)
	}
	for _, text := range []string{"file://etc/ca.pem", "file://", "file:///ca.pem#x"} {
		if got, err := File(text); err == nil {
			t.Errorf("File(%q) = %s, want an error", text, got)
		}
	}
}
