#!/bin/bash
# The whole run on one GPU: start RUN, then poll SECONDS RUN OUT until it says done.
#   run.sh start RUN            start all phases in the background; phases already done are skipped
#   run.sh poll SECONDS RUN OUT follow the log for so long, then copy what there is into OUT
# Minutes of each phase: VAE_MIN DIT_MIN DISTIL_MIN JUDGE_MIN. The art and the tokenizer lie in WORK.
set -u
WORK=${WORK:-training/work}
VAE_MIN=${VAE_MIN:-4.0} DIT_MIN=${DIT_MIN:-7.0} DISTIL_MIN=${DISTIL_MIN:-1.8} JUDGE_MIN=${JUDGE_MIN:-3.0}
PICTURES=${PICTURES:-480000} PROMPTS=${PROMPTS:-1536} BATCH=${BATCH:-1024} BANK=${BANK:-160000}
export PYTHONUNBUFFERED=1 TOKENIZERS_PARALLELISM=false TORCHINDUCTOR_FX_GRAPH_CACHE=1
export PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True

phase() { # NAME MODULE ARGUMENTS...: run a module once; a failure ends the run
  local name=$1; shift
  if [ -e "$RUN/$name.done" ]; then echo "== $name: done before"; return; fi
  echo "== $name: starts at ${SECONDS} s"
  if python3 -m "$@"; then touch "$RUN/$name.done"; else echo "FAILED $name"; touch "$RUN/failed"; exit 1; fi
}

compiled_phase() { # as phase, and once more without the compiler if the compiler is what failed
  local name=$1; shift
  [ -e "$RUN/$name.done" ] && { echo "== $name: done before"; return; }
  echo "== $name: starts at ${SECONDS} s"
  if python3 -m "$@"; then touch "$RUN/$name.done"; return; fi
  echo "== $name failed; once more with --no-compile"
  phase "$name" "$@" --no-compile
}

smoke() { # beside the first phase; the run goes on, so that a late phase can be mended meanwhile
  if nice -n 5 python3 -m training.smoke > "$RUN/smoke.log" 2>&1; then
    touch "$RUN/smoke.done"; echo "== smoke: passed at ${SECONDS} s"
  else echo "FAILED smoke"; tail -n 20 "$RUN/smoke.log"; fi
}

all_phases() {
  RUN=$1; SECONDS=0
  local art="--art $WORK/art.zip" words="--tokenizer $WORK/tokenizer" out="--out $RUN"
  if [ ! -e "$RUN/captions.done" ]; then
    (nice -n 10 python3 -m training.make_captions $art $words $out --pictures $PICTURES && touch "$RUN/captions.done") \
      > "$RUN/captions.log" 2>&1 &
  fi
  [ -e "$RUN/distil.done" ] || nice -n 5 python3 -m training.warm --batch $BATCH > "$RUN/warm.log" 2>&1 &
  [ -e "$RUN/smoke.done" ] || smoke &  # says within a minute whether all later phases work here
  compiled_phase vae training.train_vae $art $out --minutes $VAE_MIN --pictures $BANK --resume
  while [ ! -e "$RUN/captions.done" ] && [ -n "$(jobs -r)" ]; do sleep 1; done
  tail -n 2 "$RUN"/captions.log "$RUN"/warm.log
  compiled_phase dit training.train_dit $art $words $out --minutes $DIT_MIN --pictures $PICTURES --batch $BATCH --resume
  compiled_phase distil training.distil $art $words $out --minutes $DISTIL_MIN --pictures $((PICTURES / 4)) --batch $BATCH
  phase judge training.judge $art $out --minutes $JUDGE_MIN
  phase evaluate training.evaluate $art $words $out --prompts $PROMPTS
  phase sheets training.sheets $art $words $out
  phase export training.export $art $words $out --model "$RUN/model"
  touch "$RUN/done"; echo "== all done after ${SECONDS} s"
}

collect() { # RUN OUT: the finished model, or the checkpoints, in parts of 14 MB; at most 8 files
  local run=$1 out=$2 what
  if [ -e "$run/done" ]; then what="model scores.json scores.md held-out.txt"
  else what=$(cd "$run" && ls -d ./*.done vae dit student scores.* 2>/dev/null | sed 's#^\./##')
    [ -d "$run/student" ] && what=$(echo "$what" | grep -vx dit); fi
  [ -n "$what" ] && tar cf - -C "$run" $what | split -b 14000000 -d -a 1 - "$out/run.tar."
  tail -c 400000 "$run/log" > "$out/log.txt"
}

poll() { # SECONDS RUN OUT
  local end=$((SECONDS + $1)) run=$2
  while [ $SECONDS -lt $end ] && [ ! -e "$run/done" ] && [ ! -e "$run/failed" ]; do
    sleep 15; tail -n 1 "$run/log" | cut -c 1-200
  done
  grep -h "^==\|done\|FAILED" "$run/log" | tail -n 30
  [ -e "$run/failed" ] && tail -n 30 "$run/log"
  [ -e "$run/done" ] && cat "$run/scores.md"
  collect "$run" "$3"; ls -la "$3"
}

case ${1:-} in
  start) mkdir -p "$2"; rm -f "$2/failed"; setsid nohup bash "$0" all "$2" > "$2/log" 2>&1 < /dev/null & sleep 1; echo started ;;
  all) all_phases "$2" ;;
  poll) poll "$2" "$3" "$4" ;;
  *) sed -n '2,5p' "$0"; exit 2 ;;
esac
