package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/colinmarc/hdfs/v2"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/almanac-data/almanac/tests/internal/sparksql"
)

// reach does a little work on each server that is named, so that not only the addresses asked but those told by them must be reached:
// a record through Kafka, a file through the NameNode and its DataNodes, the same through WebHDFS, a query by Spark.
func reach(ctx context.Context, named func(string) string) (string, error) {
	var lines []string
	var failed error
	for _, step := range []struct {
		name string
		do   func(context.Context, string) (string, error)
	}{{"kafka", throughKafka}, {"hdfs", throughHDFS}, {"web", throughWeb}, {"spark", throughSpark}} {
		at := named(step.name)
		if at == "" {
			continue
		}
		text, err := step.do(ctx, at)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s at %s: %w", step.name, at, err))
			continue
		}
		lines = append(lines, step.name+": "+text)
	}
	return strings.Join(lines, "\n"), failed
}

func throughKafka(ctx context.Context, at string) (string, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(at), kgo.RecordDeliveryTimeout(15*time.Second))
	if err != nil {
		return "", err
	}
	defer client.Close()
	topic := fmt.Sprintf("almanac.lab.probe.%d", time.Now().UnixNano())
	admin := kadm.NewClient(client)
	if _, err := admin.CreateTopic(ctx, 1, 1, nil, topic); err != nil {
		return "", err
	}
	defer func() { _, _ = admin.DeleteTopics(context.WithoutCancel(ctx), topic) }()
	if err := client.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte("a row")}).FirstErr(); err != nil {
		return "", err
	}
	client.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}})
	fetches := client.PollFetches(ctx)
	if err := fetches.Err(); err != nil {
		return "", err
	}
	return fmt.Sprintf("read %q", fetches.Records()[0].Value), nil
}

func throughHDFS(ctx context.Context, at string) (string, error) {
	client, err := hdfs.NewClient(hdfs.ClientOptions{Addresses: []string{at}, User: "almanac"})
	if err != nil {
		return "", err
	}
	defer func() { _ = client.Close() }()
	path, want := fmt.Sprintf("/user/almanac/probe-%d", time.Now().UnixNano()), bytes.Repeat([]byte("a row\n"), 10_000)
	w, err := client.Create(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = client.Remove(path) }()
	deadline, _ := ctx.Deadline()
	if err := errors.Join(w.SetDeadline(deadline), write(w, want)); err != nil {
		return "", err
	}
	got, err := client.ReadFile(path)
	if err != nil {
		return "", err
	}
	if !bytes.Equal(got, want) {
		return "", fmt.Errorf("read %d other bytes than were written", len(got))
	}
	return fmt.Sprintf("read %d bytes again", len(got)), nil
}

func write(w io.WriteCloser, b []byte) error {
	_, err := w.Write(b)
	return errors.Join(err, w.Close())
}

// throughWeb writes and reads at the root URL of WebHDFS, which sends both on to a DataNode.
func throughWeb(ctx context.Context, at string) (string, error) {
	file, want := fmt.Sprintf("%s/user/almanac/web-%d", at, time.Now().UnixNano()), bytes.Repeat([]byte("a row\n"), 10_000)
	ask := func(method, op string, body []byte) ([]byte, error) {
		r, err := http.NewRequestWithContext(ctx, method, file+"?user.name=almanac&op="+op, bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		reply, err := http.DefaultClient.Do(r)
		if err != nil {
			return nil, err
		}
		defer func() { _ = reply.Body.Close() }()
		b, err := io.ReadAll(reply.Body)
		if err == nil && reply.StatusCode >= 300 {
			err = fmt.Errorf("%s: %s %s", op, reply.Status, b)
		}
		return b, err
	}
	if _, err := ask(http.MethodPut, "CREATE", want); err != nil {
		return "", err
	}
	defer func() { _, _ = ask(http.MethodDelete, "DELETE", nil) }()
	got, err := ask(http.MethodGet, "OPEN", nil)
	if err != nil {
		return "", err
	}
	if !bytes.Equal(got, want) {
		return "", fmt.Errorf("read %d other bytes than were written", len(got))
	}
	return fmt.Sprintf("read %d bytes again", len(got)), nil
}

func throughSpark(ctx context.Context, at string) (string, error) {
	session := sparksql.Open(at, nil, "")
	defer session.Close()
	values, err := session.SQL(ctx, "SELECT count(*) FROM range(1000)")
	if err != nil {
		return "", err
	}
	return "counted " + strings.Join(values, " "), nil
}
