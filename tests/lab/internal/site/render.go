package site

import (
	"bytes"
	"embed"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
)

//go:embed templates
var templates embed.FS

// view is what a template sees: the site, and the few values that only one file needs.
type view struct {
	*Site

	Name string // of the DataNode, or of the server of Kafka
}

// Node is the number of a server of Kafka.
func (v view) Node() int { return slices.Index(Kafkas, v.Name) + 1 }

// Controls says whether a server of Kafka is the controller.
func (v view) Controls() bool { return v.Node() == 1 }

// Copies are those of each topic of Kafka.
func (v view) Copies() int { return len(v.Kafkas()) }

// Least is how many of them must have what is acknowledged.
func (v view) Least() int { return max(v.Copies()-1, 1) }

// JavaOptions are the options of every Java process of the lab.
func (s *Site) JavaOptions() string {
	o := "-Djava.net.preferIPv4Stack=true -XX:+UseSerialGC"
	if s.Secure {
		o += " -Djava.security.krb5.conf=" + s.Path("conf", "krb5.conf")
	}
	return o
}

// Iceberg is the jar that teaches Spark to read Iceberg tables.
func (s *Site) Iceberg() string { return s.Artifact("jars", "iceberg") + "/*" }

// file is one configuration file: its path below conf, and the templates that make it, one after the other.
type file struct {
	path      string
	templates []string
	name      string
	secure    bool // made in the secured form only
}

var files = []file{
	{path: "client/core-site.xml", templates: []string{"hadoop/core-site.tmpl"}},
	{path: "client/hdfs-site.xml", templates: []string{"hadoop/hdfs-site.tmpl"}},
	{path: "client/yarn-site.xml", templates: []string{"hadoop/yarn-site.tmpl"}},
	{path: "client/ssl-client.xml", templates: []string{"hadoop/ssl-client.tmpl"}, secure: true},
	{path: "hadoop/core-site.xml", templates: []string{"hadoop/core-site.tmpl"}},
	{path: "hadoop/hdfs-site.xml", templates: []string{"hadoop/hdfs-site.tmpl"}},
	{path: "hadoop/yarn-site.xml", templates: []string{"hadoop/yarn-site.tmpl"}},
	{path: "hadoop/capacity-scheduler.xml", templates: []string{"hadoop/capacity-scheduler.tmpl"}},
	{path: "hadoop/ssl-client.xml", templates: []string{"hadoop/ssl-client.tmpl"}, secure: true},
	{path: "hadoop/ssl-server.xml", templates: []string{"hadoop/ssl-server.tmpl"}, secure: true},
	{path: "hadoop/log4j.properties", templates: []string{"hadoop/log4j.properties.tmpl"}},
	{path: "datanode1/hdfs-site.xml", templates: []string{"hadoop/hdfs-site.tmpl", "hadoop/datanode.tmpl"}, name: "datanode1"},
	{path: "datanode2/hdfs-site.xml", templates: []string{"hadoop/hdfs-site.tmpl", "hadoop/datanode.tmpl"}, name: "datanode2"},
	{path: "kafka/server.properties", templates: []string{"kafka/server.properties.tmpl"}, name: "kafka"},
	{path: "kafka2/server.properties", templates: []string{"kafka/server.properties.tmpl"}, name: "kafka2"},
	{path: "kafka3/server.properties", templates: []string{"kafka/server.properties.tmpl"}, name: "kafka3"},
	{path: "kafka/log4j2.yaml", templates: []string{"kafka/log4j2.yaml.tmpl"}},
	{path: "spark/spark.conf", templates: []string{"spark/spark.conf.tmpl"}},
	{path: "spark/log4j2.properties", templates: []string{"spark/log4j2.properties.tmpl"}},
	{path: "krb5.conf", templates: []string{"kdc/krb5.conf.tmpl"}, secure: true},
	{path: "kdc.conf", templates: []string{"kdc/kdc.conf.tmpl"}, secure: true},
	{path: "haproxy.cfg", templates: []string{"haproxy/haproxy.cfg.tmpl"}, secure: true},
}

// Render writes every configuration file of the form. Some hold passwords: only this user reads them.
func (s *Site) Render() error {
	for _, f := range files {
		if f.secure && !s.Secure {
			continue
		}
		b, err := s.render(f)
		if err != nil {
			return fmt.Errorf("configuration %s: %w", f.path, err)
		}
		path := s.Path("conf", f.path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (s *Site) render(f file) ([]byte, error) {
	var text bytes.Buffer
	for _, name := range f.templates {
		b, err := templates.ReadFile("templates/" + name)
		if err != nil {
			return nil, err
		}
		t, err := template.New(name).Option("missingkey=error").Parse(string(b))
		if err != nil {
			return nil, err
		}
		if err := t.Execute(&text, view{Site: s, Name: f.name}); err != nil {
			return nil, err
		}
	}
	if filepath.Ext(f.path) != ".xml" {
		return text.Bytes(), nil
	}
	return hadoop(text.String())
}

// hadoop turns lines "key = value" into the XML that Hadoop reads. A line that begins with # is a comment; a later value replaces an earlier one.
func hadoop(text string) ([]byte, error) {
	type property struct {
		Name  string `xml:"name"`
		Value string `xml:"value"`
	}
	var doc struct {
		XMLName    xml.Name   `xml:"configuration"`
		Properties []property `xml:"property"`
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, value, ok := strings.Cut(line, " =")
		if !ok {
			return nil, fmt.Errorf("not a line \"key = value\": %q", line)
		}
		doc.Properties = append(doc.Properties, property{Name: key, Value: strings.TrimSpace(value)})
	}
	b, err := xml.MarshalIndent(doc, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(b, '\n'), nil
}
