/** The editor of autoscaling: bounds, target, rules, schedules, and whether it is held. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useState } from 'react';

import { duration, moment } from '../format';
import type {
  Autoscaling,
  AutoscalingRequest,
  Rule,
  RuleSpec,
  Schedule,
  ScheduleSpec,
  Service
} from '../types';
import { Button, Field, Notice, Table, useWork } from './pieces';
import {
  formOf,
  NEW_RULE,
  newSchedule,
  policyFrom,
  PolicyForm,
  Problems,
  problemsIn,
  ruleFrom,
  RuleForm,
  scheduleFrom,
  ScheduleForm
} from './policy';
import { measure, metricUnits, writeSpan } from './units';

export interface ScalingProps {
  service: Service;
  now: number;
  trans: TranslationBundle;
  onSave: (body: AutoscalingRequest) => Promise<void>;
  /** Asks first; resolves to false where it was not wanted after all. */
  onEnd: () => Promise<boolean>;
  onResume: () => Promise<void>;
  onAddRule: (rule: RuleSpec) => Promise<void>;
  onRemoveRule: (id: string) => Promise<void>;
  onAddSchedule: (schedule: ScheduleSpec) => Promise<void>;
  onRemoveSchedule: (id: string) => Promise<void>;
}

export function Scaling(props: ScalingProps): JSX.Element {
  const { service, trans } = props;
  const policy = service.autoscaling;
  return (
    <>
      {policy === null ? (
        <Notice
          text={trans.__(
            'The number of replicas is as it was set. With autoscaling it follows the calls, between a least and a most.'
          )}
        />
      ) : (
        <State {...props} policy={policy} />
      )}
      <Policy {...props} />
      {policy !== null && (
        <>
          <Rules {...props} rules={policy.rules} />
          <Schedules {...props} schedules={policy.schedules} />
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
          <Button
            text={trans.__('Resume Autoscaling')}
            look="accept"
            disabled={busy}
            onClick={() => void run(onResume)}
          />
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

const POLICY_FIELDS = ['min', 'max', 'target', 'target_concurrency', 'idle_after', 'down_delay'];

function Policy({ service, trans, onSave, onEnd }: ScalingProps): JSX.Element {
  const policy = service.autoscaling;
  const [typed, setTyped] = useState<PolicyForm | null>(null);
  const form = typed ?? formOf(policy, service.replicas.want);
  const { problems, busy, submit } = useForm(POLICY_FIELDS, trans);
  const ending = useWork();
  const set = (change: Partial<PolicyForm>) => setTyped({ ...form, ...change });
  const field = (name: keyof PolicyForm, label: string, help?: string, placeholder?: string) => (
    <Field
      label={label}
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
        void submit(event, policyFrom(form, policy, trans), async body => {
          await onSave(body);
          setTyped(null);
        })
      }
    >
      {field('min', trans.__('Least'), trans.__('0: none is kept while there are no calls'))}
      {field('max', trans.__('Most'))}
      <label className="jp-ModelService-check">
        <input
          type="checkbox"
          checked={form.target}
          onChange={event => set({ target: event.target.checked })}
        />{' '}
        {trans.__('Follow the calls')}
      </label>
      {field(
        'target_concurrency',
        trans.__('Calls at once for each replica'),
        undefined,
        aim === null ? trans.__('auto') : trans.__('auto: %1', measure('concurrency', aim, trans))
      )}
      {field('down_delay', trans.__('Fewer only after'), trans.__('such as 5m'), '5m')}
      {field('idle_after', trans.__('Idle after'), trans.__('without calls, where the least is 0'), '15m')}
      {problems[''] && <Notice text={problems['']} kind="bad" />}
      {problems['target'] && <Notice text={problems['target']} kind="bad" />}
      {ending.refused !== null && <Notice text={ending.refused} kind="bad" />}
      <div className="jp-ModelService-bar">
        <button
          type="submit"
          className="jp-ModelService-button jp-Button jp-mod-styled jp-mod-accept"
          disabled={busy || (policy !== null && typed === null)}
        >
          {policy === null ? trans.__('Turn On Autoscaling') : trans.__('Save')}
        </button>
        {typed !== null && policy !== null && (
          <Button text={trans.__('Undo')} onClick={() => setTyped(null)} />
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

const RULE_FIELDS = ['metric', 'above', 'below', 'step', 'window', 'cooldown', 'min', 'max'];

function Rules(props: ScalingProps & { rules: readonly Rule[] }): JSX.Element {
  const { rules, trans } = props;
  const { busy, refused, run } = useWork();
  return (
    <section aria-label={trans.__('Rules')}>
      <h3>{trans.__('Rules')}</h3>
      {rules.length > 0 && (
        <Table
          caption={trans.__('Rules')}
          columns={[
            trans.__('Rule'),
            trans.__('Metric'),
            trans.__('Above'),
            trans.__('Below'),
            trans.__('Step'),
            trans.__('Mean of'),
            trans.__('Rests'),
            trans.__('Replicas'),
            ''
          ]}
        >
          {rules.map(rule => (
            <tr key={rule.id} data-rule={rule.id}>
              <th scope="row">{rule.id}</th>
              <td>{rule.metric}</td>
              <td className="jp-mod-figure">
                {rule.above === null ? '–' : measure(rule.metric, rule.above, trans)}
              </td>
              <td className="jp-mod-figure">
                {rule.below === null ? '–' : measure(rule.metric, rule.below, trans)}
              </td>
              <td className="jp-mod-figure">{rule.step}</td>
              <td className="jp-mod-figure">{writeSpan(rule.window)}</td>
              <td className="jp-mod-figure">{writeSpan(rule.cooldown)}</td>
              <td>{ownBounds(rule, trans)}</td>
              <td>
                <Button
                  text={trans.__('Remove')}
                  label={trans.__('Remove rule %1', rule.id)}
                  disabled={busy}
                  onClick={() => void run(() => props.onRemoveRule(rule.id))}
                />
              </td>
            </tr>
          ))}
        </Table>
      )}
      {refused !== null && <Notice text={refused} kind="bad" />}
      <AddRule {...props} />
    </section>
  );
}

function AddRule({ trans, onAddRule }: ScalingProps): JSX.Element {
  const [form, setForm] = useState<RuleForm | null>(null);
  const { problems, busy, submit, clear } = useForm(RULE_FIELDS, trans);
  const units = metricUnits(trans);
  if (form === null) {
    return (
      <div className="jp-ModelService-bar">
        <Button text={trans.__('Add a Rule')} onClick={() => setForm(NEW_RULE)} />
      </div>
    );
  }
  const close = () => {
    clear();
    setForm(null);
  };
  const field = (name: keyof RuleForm, label: string, help?: string, width = 8) => (
    <Field
      label={label}
      value={form[name]}
      help={help}
      problem={problems[name]}
      width={width}
      choices={name === 'metric' ? Object.keys(units) : undefined}
      onChange={value => setForm({ ...form, [name]: value })}
    />
  );
  return (
    <form
      className="jp-ModelService-form"
      aria-label={trans.__('New rule')}
      onSubmit={event =>
        void submit(event, ruleFrom(form, trans), async body => {
          await onAddRule(body);
          close();
        })
      }
    >
      {field('metric', trans.__('Metric'), units[form.metric.trim()] ?? '', 22)}
      {field('above', trans.__('Above'), trans.__('adds replicas'))}
      {field('below', trans.__('Below'), trans.__('takes them away'))}
      {field('step', trans.__('Step'), trans.__('so many at a time'))}
      {field('window', trans.__('Mean of'))}
      {field('cooldown', trans.__('Rests'), trans.__('when it has fired'))}
      {field('min', trans.__('Least'))}
      {field('max', trans.__('Most'))}
      {problems[''] && <Notice text={problems['']} kind="bad" />}
      <FormEnd text={trans.__('Add')} busy={busy} trans={trans} onCancel={close} />
    </form>
  );
}

const SCHEDULE_FIELDS = ['when', 'timezone', 'duration', 'min', 'max'];

function Schedules(props: ScalingProps & { schedules: readonly Schedule[] }): JSX.Element {
  const { schedules, trans } = props;
  const { busy, refused, run } = useWork();
  return (
    <section aria-label={trans.__('Schedules')}>
      <h3>{trans.__('Schedules')}</h3>
      {schedules.length > 0 && (
        <Table
          caption={trans.__('Schedules')}
          columns={[trans.__('Schedule'), trans.__('When'), trans.__('Time zone'), trans.__('Replicas'), '']}
        >
          {schedules.map(each => (
            <tr key={each.id} data-schedule={each.id}>
              <th scope="row">{each.id}</th>
              <td>
                {each.duration === null
                  ? each.when
                  : trans.__('%1 for %2', each.when, writeSpan(each.duration))}
              </td>
              <td>{each.timezone}</td>
              <td>{ownBounds(each, trans)}</td>
              <td>
                <Button
                  text={trans.__('Remove')}
                  label={trans.__('Remove schedule %1', each.id)}
                  disabled={busy}
                  onClick={() => void run(() => props.onRemoveSchedule(each.id))}
                />
              </td>
            </tr>
          ))}
        </Table>
      )}
      {refused !== null && <Notice text={refused} kind="bad" />}
      <AddSchedule {...props} />
    </section>
  );
}

function AddSchedule({ trans, onAddSchedule }: ScalingProps): JSX.Element {
  const [form, setForm] = useState<ScheduleForm | null>(null);
  const { problems, busy, submit, clear } = useForm(SCHEDULE_FIELDS, trans);
  if (form === null) {
    return (
      <div className="jp-ModelService-bar">
        <Button text={trans.__('Add a Schedule')} onClick={() => setForm(newSchedule())} />
      </div>
    );
  }
  const close = () => {
    clear();
    setForm(null);
  };
  const field = (name: keyof ScheduleForm, label: string, help?: string, width = 8) => (
    <Field
      label={label}
      value={form[name]}
      help={help}
      problem={problems[name]}
      width={width}
      onChange={value => setForm({ ...form, [name]: value })}
    />
  );
  const cron = /^\s*[^A-Za-z\s]+(\s+\S+){4}\s*$/.test(form.when);
  return (
    <form
      className="jp-ModelService-form"
      aria-label={trans.__('New schedule')}
      onSubmit={event =>
        void submit(event, scheduleFrom(form, trans), async body => {
          await onAddSchedule(body);
          close();
        })
      }
    >
      {field('when', trans.__('When'), trans.__('such as Mon-Fri 08:00-19:00, or cron’s five fields'), 26)}
      {field('timezone', trans.__('Time zone'), undefined, 18)}
      {(cron || problems['duration']) && field('duration', trans.__('For'), trans.__('such as 2h'))}
      {field('min', trans.__('Least'))}
      {field('max', trans.__('Most'))}
      {problems[''] && <Notice text={problems['']} kind="bad" />}
      <FormEnd text={trans.__('Add')} busy={busy} trans={trans} onCancel={close} />
    </form>
  );
}

function FormEnd(props: {
  text: string;
  busy: boolean;
  trans: TranslationBundle;
  onCancel: () => void;
}): JSX.Element {
  return (
    <div className="jp-ModelService-bar">
      <button
        type="submit"
        className="jp-ModelService-button jp-Button jp-mod-styled jp-mod-accept"
        disabled={props.busy}
      >
        {props.text}
      </button>
      <Button text={props.trans.__('Cancel')} onClick={props.onCancel} />
    </div>
  );
}

function ownBounds(item: Rule | Schedule, trans: TranslationBundle): string {
  const told = [
    item.min === null ? '' : trans.__('%1 at least', item.min),
    item.max === null ? '' : trans.__('%1 at most', item.max)
  ].filter(Boolean);
  return told.join(', ') || '–';
}

/** A form whose problems stand at its fields: those that are seen here before anything is sent, else the server's. */
function useForm(fields: readonly string[], trans: TranslationBundle) {
  const [problems, setProblems] = useState<Problems>({});
  const [busy, setBusy] = useState(false);
  const submit = async <T,>(
    event: React.FormEvent,
    { body, problems: found }: { body: T; problems: Problems },
    send: (body: T) => Promise<void>
  ): Promise<void> => {
    event.preventDefault();
    setProblems(found);
    if (Object.keys(found).length > 0) {
      return;
    }
    setBusy(true);
    try {
      await send(body);
    } catch (error) {
      setProblems(
        error instanceof Error ? problemsIn(error.message, fields) : { '': trans.__('That did not work.') }
      );
    } finally {
      setBusy(false);
    }
  };
  return { problems, busy, submit, clear: () => setProblems({}) };
}
