// Package platform opens what functions stand on: the datasets, the facts and blocks in Kafka, and the warehouse.
// It is wiring that the mains share; no core imports it.
package platform

import (
	"context"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/facts"
	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/fn/meter"
	"github.com/almanac-data/almanac/functions/internal/hdfs"
	"github.com/almanac-data/almanac/functions/internal/kafka"
	"github.com/almanac-data/almanac/functions/internal/lake"
	"github.com/almanac-data/almanac/functions/internal/platform/stream"
	"github.com/almanac-data/almanac/functions/internal/published/follow"
)

// Platform is what a function stands on. Close ends it.
type Platform struct {
	Datasets  *Datasets
	Cluster   *kafka.Cluster
	Journal   facts.Journal // what is said through it is counted in the metrics of the process
	Blocks    block.Store
	Warehouse *lake.Lake
	journal   *kafka.Journal
	files     *hdfs.FS // that the warehouse stands on; nil if it is a folder
}

// config is what Open needs beyond what functions share.
type config struct {
	fn.Common
	kafka.Settings

	CreateTopics bool `env:"ALMANAC_CREATE_TOPICS,default=false"` // those that are missing
}

// places are the variables that say where the warehouse is.
const places = " (ALMANAC_WAREHOUSE, ALMANAC_HDFS_NAMENODES, ALMANAC_HDFS_WEB)"

// Open reads the configuration of the process and opens everything. Facts that are said have the source /almanac/<name of the process>.
func Open(ctx context.Context, p *fn.Process) (_ *Platform, err error) {
	var cfg config
	if err := fn.Load(ctx, p.Env, &cfg); err != nil {
		return nil, err
	}
	pf := &Platform{}
	defer func() {
		if err != nil {
			pf.Close()
		}
	}()
	if cfg.Datasets != Published {
		if pf.Datasets, err = FolderDatasets(cfg.Datasets); err != nil {
			return nil, err
		}
	}
	err = p.Await(ctx, "the warehouse at "+cfg.Warehouse+places, hdfs.Passing, func(ctx context.Context) (err error) {
		pf.Warehouse, pf.files, err = warehouse(ctx, p.Env)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := pf.observe(ctx, p, cfg.Settings); err != nil {
		return nil, err
	}
	if cfg.Datasets == Published {
		if pf.Datasets, err = awaitDatasets(ctx, p, cfg.Warehouse, pf.Warehouse); err != nil {
			return nil, err
		}
		p.Ready("datasets", pf.Datasets.Ready)
	}
	if err = p.Await(ctx, stream.Server(cfg.Settings), kafka.Passing, func(ctx context.Context) error { return pf.openKafka(ctx, p, cfg) }); err != nil {
		return nil, err
	}
	pf.Journal, pf.Blocks = meter.Observe(pf.journal, p.Meter), pf.Cluster.Blocks()
	p.Ready("kafka", func(ctx context.Context) error {
		_, err := pf.journal.View(ctx)
		return err
	})
	return pf, nil
}

// observe exports what is known of the warehouse, and when that expires by which the process is let in.
func (pf *Platform) observe(ctx context.Context, p *fn.Process, s kafka.Settings) error {
	p.Meter.CommitRetries(pf.Warehouse.Retries)
	p.Meter.Certificates(stream.Certificates(s))
	if pf.files == nil {
		return nil
	}
	var cfg hdfs.Config
	if err := fn.Load(ctx, p.Env, &cfg); err != nil {
		return err
	}
	p.Meter.Certificates(map[string]string{"ALMANAC_HDFS_CA": cfg.CA})
	p.Meter.Ticket(pf.files)
	return nil
}

// openKafka opens cluster and journal; it leaves neither open if it fails.
func (pf *Platform) openKafka(ctx context.Context, p *fn.Process, cfg config) error {
	cluster, err := kafka.Open(ctx, cfg.Config(p.Name, p.Now))
	if err != nil {
		return err
	}
	var journal *kafka.Journal
	if err = settle(ctx, cluster, pf.Datasets.Catalog, cfg.CreateTopics); err == nil {
		journal, err = cluster.Journal(ctx, p.Name)
	}
	if err != nil {
		cluster.Close()
		return err
	}
	pf.Cluster, pf.journal = cluster, journal
	return nil
}

// Variables lists the variables that functions read to find what they stand on, and those of the given configurations.
func Variables(more ...any) []string {
	return fn.Variables(append(more, config{}, hdfs.Config{}, lake.Config{}, follow.Config{})...)
}

// settle makes the topics that are missing, if it may, and refuses to start on those whose settings would lose something.
func settle(ctx context.Context, cluster *kafka.Cluster, datasets *dataset.Catalog, create bool) error {
	if create {
		return EnsureTopics(ctx, cluster, datasets, events.WakeTopics()...)
	}
	blocks, err := blockTopics(datasets)
	if err != nil {
		return err
	}
	return cluster.VerifyTopics(ctx, events.FactTopics(), events.DueTopics(), blocks, events.WakeTopics()...)
}

// EnsureTopics makes the topics of facts, dues and the datasets' blocks that are missing, and checks those that are there; so for topics of
// wakes, if there are to be any.
func EnsureTopics(ctx context.Context, cluster *kafka.Cluster, datasets *dataset.Catalog, wakes ...string) error {
	blocks, err := blockTopics(datasets)
	if err != nil {
		return err
	}
	return cluster.EnsureTopics(ctx, events.FactTopics(), events.DueTopics(), blocks, wakes...)
}

// CheckTopics lists what of the topics is not as it must be, those that are missing included: what a doctor prints.
func CheckTopics(ctx context.Context, cluster *kafka.Cluster, datasets *dataset.Catalog) ([]kafka.Finding, error) {
	blocks, err := blockTopics(datasets)
	if err != nil {
		return nil, err
	}
	return cluster.CheckTopics(ctx, events.FactTopics(), events.DueTopics(), blocks, events.WakeTopics()...)
}

func blockTopics(datasets *dataset.Catalog) ([]string, error) {
	all, err := datasets.Datasets()
	if err != nil {
		return nil, err
	}
	var blocks []string
	for _, d := range all {
		blocks = append(blocks, block.Topics(d.Name)...)
	}
	return blocks, nil
}

// Close lets go of what is open.
func (pf *Platform) Close() {
	if pf.Datasets != nil {
		_ = pf.Datasets.Close() // what it leaves is removed at the next start
	}
	if pf.journal != nil {
		pf.journal.Close()
	}
	if pf.Cluster != nil {
		pf.Cluster.Close()
	}
	if pf.files != nil {
		pf.files.Close()
	}
}
