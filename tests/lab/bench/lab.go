package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/almanac-data/almanac/tests/internal/box"
)

// lab is the plain lab that runs.
type lab struct {
	env   map[string]string
	kafka *kadm.Client
}

// deadline is for one command.
const deadline = 10 * time.Minute

func open(name string) (*lab, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("%w; make lab starts one", err)
	}
	defer func() { _ = f.Close() }()
	l := &lab{env: map[string]string{}}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), "=")
		l.env[key] = value
	}
	if l.env["LAB_FORM"] != "plain" {
		return nil, fmt.Errorf("%s is of the %s lab; measure on the plain one", name, l.env["LAB_FORM"])
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(l.env["KAFKA_PLAIN"]))
	if err != nil {
		return nil, err
	}
	l.kafka = kadm.NewClient(client)
	return l, nil
}

func (l *lab) close() { l.kafka.Close() }

// config is the file of the cluster for almanac --config.
func (l *lab) config() string { return filepath.Join(l.env["LAB_ROOT"], "cluster.yaml") }

// empty removes Almanac's topics, and with them how far groups have read, and the warehouse.
func (l *lab) empty(ctx context.Context) error {
	topics, err := l.kafka.ListTopics(ctx)
	if err != nil {
		return err
	}
	ours := slices.DeleteFunc(topics.Names(), func(name string) bool { return !strings.HasPrefix(name, "almanac.") })
	if err := l.remove(ctx, ours...); err != nil {
		return err
	}
	_, err = l.hdfs(ctx, "-rm", "-r", "-f", "-skipTrash", l.env["HDFS_WAREHOUSE"]+"/*")
	return err
}

// remove deletes topics and waits until they are gone.
func (l *lab) remove(ctx context.Context, names ...string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for len(names) > 0 {
		if _, err := l.kafka.DeleteTopics(ctx, names...); err != nil {
			return err
		}
		there, err := l.kafka.ListTopics(ctx)
		if err != nil {
			return err
		}
		names = slices.DeleteFunc(names, func(name string) bool { return !there.Has(name) })
	}
	return nil
}

// partitions are as many as Almanac's topics have.
const partitions = 4

// topic makes an empty topic.
func (l *lab) topic(ctx context.Context, name string, partitions int32) error {
	if err := l.remove(ctx, name); err != nil {
		return err
	}
	for {
		made, err := l.kafka.CreateTopic(ctx, partitions, 1, nil, name)
		if err = errors.Join(err, made.Err); !errors.Is(err, kerr.TopicAlreadyExists) {
			return err
		}
	}
}

// records counts the records of a topic.
func (l *lab) records(ctx context.Context, topic string) (n int64, err error) {
	ends, err := l.kafka.ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	ends.Each(func(o kadm.ListedOffset) { n += o.Offset })
	return n, err
}

// start starts a program with variables added to the environment.
func start(variables []string, name string, args ...string) (*box.Running, error) {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), variables...)
	return box.Start(cmd)
}

// command runs a program to its end.
func command(ctx context.Context, variables []string, name string, args ...string) (box.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	running, err := start(variables, name, args...)
	if err != nil {
		return box.Result{}, err
	}
	result, err := running.Within(ctx)
	if err == nil && result.Code != 0 {
		err = fmt.Errorf("%s %s: %s", filepath.Base(name), strings.Join(args, " "), result)
	}
	return result, err
}

// hdfs runs a command of Hadoop's own client, as almanac.
func (l *lab) hdfs(ctx context.Context, args ...string) (box.Result, error) {
	java := []string{"-Xmx512m", "-Djava.net.preferIPv4Stack=true", "-cp", l.env["HADOOP_CLASSPATH"], "org.apache.hadoop.fs.FsShell"}
	return command(ctx, []string{"HADOOP_USER_NAME=almanac"}, "java", append(java, args...)...)
}

// web asks WebHDFS about a path. The error is fs.ErrNotExist if there is none.
func (l *lab) web(ctx context.Context, path, op string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, l.env["WEBHDFS_URL"]+path+"?user.name=almanac&op="+op, nil)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	switch {
	case err == nil && response.StatusCode == http.StatusNotFound:
		err = fmt.Errorf("%s of %s: %w", op, path, fs.ErrNotExist)
	case err == nil && response.StatusCode != http.StatusOK:
		err = fmt.Errorf("%s of %s: %s: %s", op, path, response.Status, text)
	}
	return string(text), err
}

// status is what HDFS says of a file.
type status struct {
	Length      int64 `json:"length"`
	Replication int   `json:"replication"`
	BlockSize   int64 `json:"blockSize"`
}

func (l *lab) stat(ctx context.Context, path string) (status, error) {
	var answer struct {
		FileStatus status `json:"FileStatus"`
	}
	text, err := l.web(ctx, path, "GETFILESTATUS")
	if err == nil {
		err = json.Unmarshal([]byte(text), &answer)
	}
	return answer.FileStatus, err
}
