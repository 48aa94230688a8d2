/** Who looks: what the service says of the credential, and what it said at the last load in this tab. */

import { credential, keepKnown, keptKnown } from "../session.ts";
import { clockAheadS, DRIFT_S, me, openShared } from "../state.ts";
import type { Me } from "./answers.ts";
import { ApiError, ask } from "./client.ts";
import { onceSeen } from "./seen.ts";
import { sessionEnded } from "./sign_in.ts";

interface Known {
  me: Me;
  clockAheadS: number;
}

/** Show what was known of the credential at the last load, so that panels need not wait for the answer of now. */
export function showKnown(): void {
  const known = keptKnown() as Known | null;
  if (known === null) return;
  clockAheadS.value = known.clockAheadS;
  me.value = known.me;
}

/** Ask who looks; `again` is called after a while where the service did not answer. */
export async function askWho(signal: AbortSignal, again: () => void): Promise<void> {
  try {
    const answer = await ask<Me>("v1/me", signal);
    const aheadS = answer.now - Date.now() / 1000;
    if (Math.abs(aheadS - clockAheadS.value) > DRIFT_S) clockAheadS.value = aheadS;
    // A key or a session in a link would sign its viewer in as somebody else.
    if (credential.value?.isLink && answer.fixed === null) {
      sessionEnded();
      return;
    }
    if (answer.fixed !== null) openShared(answer.fixed.range, answer.fixed.pages);
    else keepKnown({ me: answer, clockAheadS: clockAheadS.value } satisfies Known);
    me.value = answer;
  } catch (error) {
    if (signal.aborted) return;
    if (!(error instanceof ApiError)) throw error;
    if (error.status === 401 || error.status === 403) sessionEnded();
    else setTimeout(() => onceSeen(again), 2000);
  }
}
