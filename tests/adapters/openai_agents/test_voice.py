"""Speech in, speech out: the SDK's voice pipeline with its own test doubles."""

from __future__ import annotations

import asyncio
import logging

import pytest
from agents.tracing import speech_group_span, trace, transcription_span
from opentelemetry import trace as otel_trace

import lucidic as lai


np = pytest.importorskip("numpy", reason="numpy, which the SDK's voice extra needs, is not installed")
testing = pytest.importorskip("agents.voice.testing", reason="this SDK has no test doubles for voice")
voice = pytest.importorskip("agents.voice")


async def speak(workflow, *, group_id=None):
    """Run a pipeline once, to the end of its stream."""
    given = {} if group_id is None else {"group_id": group_id}
    pipeline = voice.VoicePipeline(
        workflow=workflow,
        stt_model=testing.ScriptedSTTModel("How is Rome?"),
        tts_model=testing.ScriptedTTSModel([[testing.pcm16_samples([1, 2, 3])]] * 3),
        config=voice.VoicePipelineConfig(workflow_name="Phone", **given),
    )
    result = await pipeline.run(voice.AudioInput(buffer=np.zeros(240, dtype=np.int16)))
    async for _ in result.stream():
        pass


async def test_a_voice_run_is_one_trace_of_its_groups_session(traced, scripted, caplog):
    """The pipeline's group names the session; the agent's run and the speech are in one trace; nothing is logged."""
    caplog.set_level(logging.DEBUG, "opentelemetry.context")
    agent = scripted(["It is sunny."]).agent()
    await speak(voice.SingleAgentVoiceWorkflow(agent), group_id="call-1")
    await asyncio.sleep(0)
    assert {"call-1"} == {span.attributes["session.id"] for span in traced.spans}
    assert 1 == len({span.context.trace_id for span in traced.spans})
    spoken = traced.named("speech").attributes
    assert ("It is sunny.", "scripted-tts") == (spoken["input.value"], spoken["llm.model_name"])
    assert len(traced.started) == len(traced.spans)
    assert not [record for record in caplog.records if record.name == "opentelemetry.context"]


async def test_the_groups_random_default_does_not_override_a_block(traced, scripted):
    """A pipeline always has a group id; a session that is bound outranks it."""
    with lai.bind_session("bound-1"):
        await speak(voice.SingleAgentVoiceWorkflow(scripted(["Sunny."]).agent()))
    assert {"bound-1"} == {span.attributes["session.id"] for span in traced.spans}


def test_transcriptions_have_model_and_text_and_no_sound(traced):
    """Speech to text: model and words are there, the audio is not."""
    with trace("call"), transcription_span(model="gpt-4o-transcribe", input="UklGRg==") as span:
        span.span_data.output = "How is Rome?"
    found = traced.named("transcription").attributes
    assert ("gpt-4o-transcribe", "How is Rome?") == (found["llm.model_name"], found["output.value"])
    assert "UklGRg==" not in str(dict(found))


def test_a_speech_group_catches_nothing(traced):
    """It is started without being made current and finished elsewhere: later spans are not below it."""
    with trace("call"):
        group = speech_group_span("Hello")
        group.start()
        with otel_trace.get_tracer("user").start_as_current_span("mine"):
            pass
        group.finish()
    root = traced.named("call")
    assert root.context.span_id == traced.named("mine").parent.span_id
