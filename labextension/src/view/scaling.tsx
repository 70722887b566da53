/** The editor of autoscaling: bounds, target, rules, schedules, and whether it is held. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useState } from 'react';

import { duration, moment } from '../format';
import { may } from '../roles';
import type { Autoscaling, AutoscalingChange, AutoscalingRequest, Offer, Service } from '../types';
import { useForm } from './form';
import { Button, Field, Notice, useWork } from './pieces';
import {
  changeFrom,
  formOf,
  overtaken,
  policyFrom,
  PolicyForm,
  touch,
  unknownMetrics,
  UNTOUCHED
} from './policy';
import { Rules, RulesProps, Schedules, SchedulesProps } from './rules';
import { measure } from './units';

export interface ScalingProps
  extends
    Omit<RulesProps, 'rules' | 'unknown' | 'changeable'>,
    Omit<SchedulesProps, 'schedules' | 'changeable'> {
  service: Service;
  /** What there is here; null until it is known. */
  offer: Offer | null;
  now: number;
  trans: TranslationBundle;
  /** Where there was no autoscaling. */
  onSave: (body: AutoscalingRequest) => Promise<void>;
  /** Of what there is only what was changed here. */
  onChange: (body: AutoscalingChange) => Promise<void>;
  /** Asks first; resolves to false where it was not wanted after all. */
  onEnd: () => Promise<boolean>;
  onResume: () => Promise<void>;
}

export function Scaling(props: ScalingProps): JSX.Element {
  const { service, trans } = props;
  const policy = service.autoscaling;
  const unknown = unknownMetrics(service, props.offer, trans);
  const changeable = may(service, 'operator');
  return (
    <>
      {policy === null ? (
        <Notice
          text={trans.__(
            'The number of replicas is as it was set. With autoscaling it follows the calls, between a least and a most.'
          )}
        >
          {changeable && (
            <p>
              {trans.__(
                'Once that is on, rules (more replicas above a latency, say) and schedules (more on weekdays) can be added here.'
              )}
            </p>
          )}
        </Notice>
      ) : (
        <State {...props} policy={policy} />
      )}
      {changeable ? <Policy {...props} /> : policy !== null && <Facts policy={policy} {...props} />}
      {policy !== null && (
        <>
          <Rules {...props} rules={policy.rules} unknown={unknown} changeable={changeable} />
          <Schedules {...props} schedules={policy.schedules} changeable={changeable} />
        </>
      )}
    </>
  );
}

function State({
  service,
  policy,
  now,
  trans,
  onResume
}: ScalingProps & { policy: Autoscaling }): JSX.Element {
  const { busy, refused, run } = useWork();
  const { bounds } = policy;
  const count = service.replicas.want;
  return (
    <>
      {policy.held && (
        <Notice
          text={trans._n(
            'Held at %1 replica, since it was scaled by hand. It stays so until autoscaling goes on.',
            'Held at %1 replicas, since it was scaled by hand. It stays so until autoscaling goes on.',
            count
          )}
        >
          {may(service, 'operator') && (
            <Button
              text={trans.__('Resume Autoscaling')}
              look="accept"
              disabled={busy}
              onClick={() => void run(onResume)}
            />
          )}
        </Notice>
      )}
      <dl className="jp-ModelService-facts">
        <div>
          <dt>{trans.__('Allowed now')}</dt>
          <dd>{boundsWords(policy, trans)}</dd>
        </div>
        {bounds?.changes_at != null && (
          <div>
            <dt>{trans.__('Next change')}</dt>
            <dd>
              {trans.__(
                '%1, in %2',
                moment(bounds.changes_at, now),
                duration(bounds.changes_at - now, trans)
              )}
            </dd>
          </div>
        )}
        <div>
          <dt>{trans.__('Decided last')}</dt>
          <dd>
            {policy.last === null
              ? trans.__('nothing yet')
              : policy.last_at === null
                ? policy.last
                : trans.__('%1: %2', moment(policy.last_at, now), policy.last)}
          </dd>
        </div>
      </dl>
      {refused !== null && <Notice text={refused} kind="bad" />}
    </>
  );
}

/** "2 to 8 (schedule s1)" */
export function boundsWords(policy: Autoscaling, trans: TranslationBundle): string {
  const { min, max } = policy.bounds ?? policy;
  const told = trans.__('%1 to %2 replicas', min, max);
  const why = policy.bounds === null ? [] : [policy.bounds.why_min, policy.bounds.why_max];
  const said = [...new Set(why.filter(each => each !== 'min' && each !== 'max'))];
  return said.length === 0 ? told : `${told} (${said.join('; ')})`;
}

/** What others than its operators see of it. */
function Facts({ service, policy, trans }: ScalingProps & { policy: Autoscaling }): JSX.Element {
  const form = formOf(policy, service.replicas.want);
  const labels = labelsOf(trans);
  return (
    <dl className="jp-ModelService-facts" aria-label={trans.__('Autoscaling')}>
      {(Object.keys(labels) as (keyof PolicyForm)[])
        .filter(name => name !== 'target_concurrency' || form.target)
        .map(name => (
          <div key={name}>
            <dt>{labels[name]}</dt>
            <dd>{told(form[name], trans)}</dd>
          </div>
        ))}
    </dl>
  );
}

const POLICY_FIELDS = ['min', 'max', 'target', 'target_concurrency', 'idle_after', 'down_delay'];

function Policy({ service, trans, onSave, onChange, onEnd }: ScalingProps): JSX.Element {
  const policy = service.autoscaling;
  const [touched, setTouched] = useState(UNTOUCHED);
  const now = formOf(policy, service.replicas.want);
  const form = { ...now, ...touched.typed };
  const changed = Object.keys(touched.typed).length > 0;
  const meanwhile = policy === null ? [] : overtaken(touched, now);
  const { problems, busy, submit } = useForm(POLICY_FIELDS, trans);
  const labels = labelsOf(trans);
  const ending = useWork();
  const set = (change: Partial<PolicyForm>) => setTouched(touch(touched, now, change));
  const field = (name: keyof PolicyForm, help?: string, placeholder?: string) => (
    <Field
      label={labels[name]}
      value={String(form[name])}
      help={help}
      problem={problems[name]}
      placeholder={placeholder}
      width={name === 'target_concurrency' ? 12 : 8}
      disabled={name === 'target_concurrency' && !form.target}
      onChange={value => set({ [name]: value })}
    />
  );
  const aim = policy?.aim ?? null;
  return (
    <form
      className="jp-ModelService-form"
      aria-label={trans.__('Autoscaling')}
      onSubmit={event =>
        policy === null
          ? void submit(event, policyFrom(form, policy, trans), async body => {
              await onSave(body);
              setTouched(UNTOUCHED);
            })
          : void submit(event, changeFrom(form, touched, trans), async body => {
              await onChange(body);
              setTouched(UNTOUCHED);
            })
      }
    >
      {field('min', trans.__('0: none is kept while there are no calls'))}
      {field('max')}
      <label className="jp-ModelService-check">
        <input
          type="checkbox"
          checked={form.target}
          onChange={event => set({ target: event.target.checked })}
        />{' '}
        {labels.target}
      </label>
      {field(
        'target_concurrency',
        undefined,
        aim === null ? trans.__('auto') : trans.__('auto: %1', measure('concurrency', aim, trans))
      )}
      {field('down_delay', trans.__('such as 5m'), '5m')}
      {field('idle_after', trans.__('without calls, where the least is 0'), '15m')}
      {meanwhile.map(name => (
        <Notice
          key={name}
          text={trans.__(
            'Changed meanwhile by somebody else: %1 is now %2. Save puts yours in its place, Undo leaves it.',
            labels[name],
            told(now[name], trans)
          )}
        />
      ))}
      {problems[''] && <Notice text={problems['']} kind="bad" />}
      {problems['target'] && <Notice text={problems['target']} kind="bad" />}
      {ending.refused !== null && <Notice text={ending.refused} kind="bad" />}
      <div className="jp-ModelService-bar">
        <button
          type="submit"
          className="jp-ModelService-button jp-Button jp-mod-styled jp-mod-accept"
          disabled={busy || (policy !== null && !changed)}
        >
          {policy === null ? trans.__('Turn On Autoscaling') : trans.__('Save')}
        </button>
        {changed && policy !== null && (
          <Button text={trans.__('Undo')} onClick={() => setTouched(UNTOUCHED)} />
        )}
        {policy !== null && (
          <>
            <span className="jp-ModelService-rest" />
            <Button
              text={trans.__('End Autoscaling…')}
              look="warn"
              disabled={busy}
              onClick={() => void ending.run(onEnd)}
            />
          </>
        )}
      </div>
    </form>
  );
}

function labelsOf(trans: TranslationBundle): Record<keyof PolicyForm, string> {
  return {
    min: trans.__('Least'),
    max: trans.__('Most'),
    target: trans.__('Follow the calls'),
    target_concurrency: trans.__('Calls at once for each replica'),
    down_delay: trans.__('Fewer only after'),
    idle_after: trans.__('Idle after')
  };
}

function told(value: string | boolean, trans: TranslationBundle): string {
  return value === true ? trans.__('on') : value === false ? trans.__('off') : value || trans.__('auto');
}
