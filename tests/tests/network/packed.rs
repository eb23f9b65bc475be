//! A node that packs its weights: another model, the same answers as one
//! process, and a cache that is checked.

use crate::{BINARY, alone};
use std::path::PathBuf;
use talkoot::models::{LocalModel, Use};
use talkoot_inference::kernels::PackedFormat;
use talkoot_inference::{
    ChatMessage, GenerateOptions, Shard, ShardOptions, TokenSampler, generate,
};
use talkoot_protocol::control::SamplingParams;
use talkoot_tests::{Cluster, Member, chat};

const PROMPT: &str = "Tell me about an owl.";
const TOKENS: u32 = 24;

/// Greedy tokens of the packed demo model in this process, and its id.
fn one_process() -> (Vec<u32>, String) {
    let how = Use {
        format: Some(PackedFormat::Q8_0),
        ..Use::default()
    };
    let model = LocalModel::open(None, &how).unwrap();
    let range = model.checkpoint.config().layers();
    let mut shards = [Shard::load(&model.checkpoint, range, &ShardOptions::default()).unwrap()];
    let messages = [ChatMessage {
        role: "user".into(),
        content: PROMPT.into(),
        ..ChatMessage::default()
    }];
    let prompt = model.asker.encode_chat(&messages, &[], true).unwrap();
    let mut sampler = TokenSampler::new(SamplingParams::default(), &prompt);
    let options = GenerateOptions {
        tokens_max: TOKENS,
        ..GenerateOptions::default()
    };
    let generated = generate(&mut shards, &prompt, &options, &mut sampler, &mut |_| true);
    (generated.unwrap().ids, model.id.to_string())
}

#[test]
fn a_packed_model_answers_as_one_process_also_from_a_mended_cache() {
    let _alone = alone();
    let member = Member {
        arguments: vec!["--quantize".into(), "q8_0".into()],
    };
    let mut cluster = Cluster::start(BINARY, &[member]);
    let (tokens, id) = one_process();
    let mut request = chat(PROMPT, TOKENS);
    request.ignore_stop_ids = true;
    let node = &mut cluster.nodes[0];
    let status = node.status();
    let served = &status.serving[0];
    assert_eq!((&served.model, served.name.as_str()), (&id, "demo-q8_0"));
    assert_eq!(
        (served.dtype.as_str(), served.arithmetic.as_str()),
        ("q8_0", "a4")
    );
    assert_eq!((status.threads, status.loading), (1, None));
    assert!(served.bytes > 0 && served.session_bytes_max > 0);
    assert_eq!(node.ask(&request).unwrap().tokens, tokens);
    let page = node.run(&["status"]);
    let page = String::from_utf8_lossy(&page.stdout).into_owned();
    assert!(
        page.contains("q8_0 weights") && page.contains("1 thread\n"),
        "{page}"
    );
    let files: Vec<PathBuf> = std::fs::read_dir(node.home().cache.join("packed"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    // Seven matrices a layer, and the head.
    assert_eq!(files.len(), 8 * 7 + 1);
    node.stop();
    let good = std::fs::read(&files[5]).unwrap();
    std::fs::write(&files[5], &good[..good.len() / 2]).unwrap();
    node.restart();
    assert!(node.log().contains("did not verify"), "{}", node.log());
    assert_eq!(node.ask(&request).unwrap().tokens, tokens);
    assert!(std::fs::read(&files[5]).unwrap() == good);
}
